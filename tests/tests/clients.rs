//! to be written
#[path = "clients/containerd.rs"]
mod containerd;
#[path = "clients/podman.rs"]
mod podman;
#[path = "clients/rig.rs"]
mod rig;
