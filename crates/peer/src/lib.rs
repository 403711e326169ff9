//! The engine: a range of a task, verified, from disk, peers, the supernode or the origin; and
//! serving it to others.
//!
//! In the order in which a byte passes (docs/ARCHITECTURE.md has the whole walk):
//!
//! - [`access`]: may this caller have it;
//! - [`engine`]: the task is opened; [`reader`]: a range of it is read in order;
//! - [`live`]: what is known of it and who waits; [`demand`]: what they want together;
//!   [`plan`]: who gets what is missing;
//! - [`feed`], [`origin`]: from the registry; [`fetch`]: from a peer;
//! - `unkept`, `passing`: what the disk has no place for;
//! - `hashing`: the one SHA-256 pass; [`serve`]: to others, within [`slots`]; [`peers`]: who they are;
//! - [`upkeep`]: what is to be done now and then, [`scrub`] among it; [`cache`]: what an operator asks
//!   of the store.

pub mod access;
mod blocking;
pub mod cache;
pub mod demand;
mod drain;
pub mod engine;
pub mod failure;
pub mod feed;
pub mod fetch;
mod hashing;
mod keeping;
pub mod limits;
pub mod live;
mod lock;
pub mod metrics;
pub mod origin;
mod passing;
pub mod peers;
pub mod plan;
pub mod reader;
pub mod scrub;
pub mod serve;
pub mod slots;
pub mod turns;
mod unkept;
pub mod upkeep;

pub use access::Access;
pub use demand::Want;
pub use engine::Engine;
pub use failure::Failure;
pub use live::{End, LiveTask};
pub use metrics::{Metrics, Source};
pub use plan::{NoPlan, Plan};
pub use reader::{Eagerness, Reader};
pub use slots::Slots;
pub use upkeep::{StoreOptions, Upkeep};
