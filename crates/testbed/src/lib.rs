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
//! Real processes all through: the binaries of this workspace, Debian's docker-registry. The one
//! stand-in is [`faulty::FaultyRegistry`], for faults that no real registry can be made to have.

pub mod cluster;
pub mod faulty;
pub mod hostile;
pub mod image;
mod liar;
pub mod ports;
pub mod process;
pub mod registry;
pub mod spot;
pub mod web;

pub use cluster::{Bed, Node, Site, Supernode};
pub use faulty::{Fault, FaultyRegistry};
pub use hostile::{Hostile, Manner};
pub use image::Image;
pub use registry::DockerRegistry;
pub use spot::Spot;
