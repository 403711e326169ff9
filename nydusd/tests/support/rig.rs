//! A daemon, an image, and a registry that has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::driven::{Driven, unpacked, with_registry};
use super::same::{Leave, differences};
use super::server::{Behaviour, registry};
use super::trees::{directory, packed};

/// A daemon that is not started yet, with an image: its tree, its bootstrap, its configuration, the
/// registry that has its blobs.
pub(crate) struct Rig {
    pub(crate) daemon: Driven,
    pub(crate) tree: PathBuf,
    pub(crate) bootstrap: PathBuf,
    pub(crate) config: Value,
    pub(crate) registry: Arc<Behaviour>,
}

impl Rig {
    pub(crate) fn new(driver: &'static str) -> Self {
        let daemon = Driven::new(driver);
        let (tree, layout) = (daemon.path("tree"), daemon.path("layout"));
        directory(&tree);
        packed(&tree, &layout);
        let bootstrap = unpacked(&layout, &daemon.path("snapshot"));
        let (address, registry) = registry(&layout);
        let config = with_registry(&address.to_string(), &daemon.path("cache"));
        Self { daemon, tree, bootstrap, config, registry }
    }

    pub(crate) fn dedicated(driver: &'static str) -> Self {
        let mut rig = Self::new(driver);
        rig.daemon.start_dedicated(&rig.bootstrap, &rig.config);
        rig
    }

    pub(crate) fn shared(driver: &'static str) -> Self {
        let mut rig = Self::new(driver);
        rig.daemon.start_shared();
        rig
    }

    pub(crate) fn mount(&self, id: &str) -> u16 {
        self.daemon.mount(id, &self.bootstrap, &self.config).status
    }

    /// Whether what is mounted at `at` is the whole tree.
    pub(crate) fn shows(&self, at: &Path) {
        assert_eq!(differences(&self.tree, at, Leave::default()), Vec::<String>::new());
    }
}

/// A value with its scalars replaced by their kind.
pub(crate) fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), shape(value))).collect()
        }
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
    }
}
