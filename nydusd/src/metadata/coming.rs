//! The names of kept bootstraps that somebody is about to use. Finding one takes as long as hashing it,
//! and meanwhile others may make room.

use std::sync::Mutex;

use crate::lock::lock;

/// The names, each as often as somebody comes to it.
#[derive(Debug, Default)]
pub struct Coming(Mutex<Vec<String>>);

/// One name, until this goes.
#[derive(Debug)]
pub struct Comes<'a> {
    all: &'a Coming,
    name: String,
}

impl Coming {
    /// Somebody comes to `name`.
    pub fn enter(&self, name: &str) -> Comes<'_> {
        lock(&self.0).push(name.to_owned());
        Comes { all: self, name: name.to_owned() }
    }

    /// All of them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

impl Drop for Comes<'_> {
    fn drop(&mut self) {
        let mut names = lock(&self.all.0);
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            names.swap_remove(at);
        }
    }
}
