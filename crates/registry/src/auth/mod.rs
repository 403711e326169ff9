//! Who we are to a registry: its challenges, its token realm, and the tokens that we hold.

mod challenge;
mod exchange;
mod realm;
mod token;

pub(crate) use challenge::Challenge;
pub(crate) use exchange::Exchange;
pub(crate) use token::{Identity, Tokens};
