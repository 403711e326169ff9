//! What the index knows of a task besides its pieces.

use content::{Digest, Layout};
use serde::{Deserialize, Serialize};

/// One entry of the index. Fields that a later version adds are ignored by an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    length: u64,
    piece_size: u64,
    #[serde(default)]
    pub(crate) media_type: String,
    /// The SHA-256 of the whole, once all of it was hashed on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<Digest>,
    /// The operator wants it kept.
    #[serde(default)]
    pub(crate) pinned: bool,
}

impl Facts {
    /// What is known of a new task.
    pub(crate) fn new(layout: Layout, media_type: &str) -> Self {
        Self {
            length: layout.length(),
            piece_size: layout.piece_size().bytes(),
            media_type: media_type.to_owned(),
            whole: None,
            pinned: false,
        }
    }

    /// How the task is cut; `None` if the entry makes no sense.
    pub(crate) fn layout(&self) -> Option<Layout> {
        Layout::told(self.length, self.piece_size).ok()
    }
}
