//! Members of the cluster that mean no good: what they say is checked, what they may do is bounded.

#[path = "hostile/abuse.rs"]
mod abuse;
#[path = "hostile/garbage.rs"]
mod garbage;
#[path = "hostile/lies.rs"]
mod lies;
#[path = "hostile/poses.rs"]
mod poses;
#[path = "hostile/tickets.rs"]
mod tickets;
