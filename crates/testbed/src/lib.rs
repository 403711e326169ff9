//! One builder that starts registries, a supernode and nodes for tests and benches.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let bed = testbed::Bed::new()?;
//! let registry = bed.registry().start().await?;
//! let image = testbed::Image::random(&[3 << 20, 300_000]);
//! registry.push("demo/app", "v1", &image).await?;
//! let supernode = bed.supernode(&registry.site()).await?;
//! let node = bed.node("n1", &supernode).await?;
//! let pulled = node.pull(&registry.host(), "demo/app", "v1").await?;
//! assert_eq!(pulled, image.layers());
//! # Ok(())
//! # }
//! ```
//!
//! Real processes all through: the binaries of this workspace, Debian's docker-registry, nginx,
//! containerd, podman and skopeo, nydus-snapshotter. Two registries are stand-ins, for what no real one can be made to
//! do: [`faulty::FaultyRegistry`] has faults, [`scripted::Scripted`] says what a test wrote for it.

pub mod cluster;
pub mod containerd;
pub mod faulty;
pub mod hostile;
pub mod image;
mod liar;
pub mod nginx;
pub mod podman;
pub mod ports;
pub mod process;
pub mod registry;
pub mod rootfs;
mod samples;
pub mod scripted;
mod skipped;
pub mod snapshotter;
pub mod spot;
mod text;
pub mod tool;
pub mod web;

pub use cluster::{Bed, Node, Site, Supernode};
pub use containerd::Containerd;
pub use faulty::{Fault, FaultyRegistry};
pub use hostile::{Hostile, Manner};
pub use image::Image;
pub use nginx::Nginx;
pub use podman::Podman;
pub use registry::DockerRegistry;
pub use samples::{SAMPLES, samples};
pub use scripted::Scripted;
pub use skipped::{can_mount, skipped};
pub use snapshotter::Snapshotter;
pub use spot::Spot;
pub use text::text;
