//! The layout of the workspace as a test: which crate may know which, read from `cargo metadata`.
//!
//! When a test fails here, the question is not how to make it pass, but whether the arrow is
//! right. If it is, write it into [`ARROWS`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace, without its prefix, and the others that it may use. Lower rows may
/// use upper ones only, so there is no way round in a circle.
const ARROWS: &[(&str, &[&str])] = &[
    // Pure: no I/O, no clock, no tokio.
    ("content", &[]),
    ("schedule", &["content"]),
    ("wire", &["content"]),
    // Pure too: the files of an image.
    ("tree", &[]),
    ("merkle", &["content", "tree"]),
    ("layer", &["content", "tree"]),
    ("rafs", &["content", "tree"]),
    // Beside them: the kernel, and what every binary has.
    ("sys", &[]),
    ("telemetry", &[]),
    ("web", &["telemetry"]),
    // One outside system each.
    ("registry", &["content"]),
    ("sparse", &["content", "sys"]),
    ("image", &["content", "layer", "merkle", "rafs", "registry", "tree"]),
    ("lazy", &["content", "rafs", "sparse"]),
    ("store", &["content", "sparse", "wire"]),
    ("transport", &["content", "wire"]),
    // The engine.
    ("peer", &["content", "registry", "schedule", "store", "telemetry", "transport", "wire"]),
    // The programs: each a thin `main.rs` over a library. dfget talks to the daemon's socket.
    (
        "supernode",
        &[
            "content",
            "peer",
            "registry",
            "schedule",
            "store",
            "telemetry",
            "transport",
            "web",
            "wire",
        ],
    ),
    (
        "dfdaemon",
        &["content", "peer", "registry", "store", "sys", "telemetry", "transport", "web", "wire"],
    ),
    ("image-builder", &["content", "image", "layer", "merkle", "rafs", "registry", "tree"]),
    ("nydusd", &["content", "image", "lazy", "rafs", "sys", "telemetry", "web"]),
    ("dfget", &["content", "peer", "registry", "telemetry", "wire"]),
    // What starts the programs for tests; no program uses it.
    (
        "testbed",
        &[
            "content",
            "dfdaemon",
            "registry",
            "store",
            "supernode",
            "telemetry",
            "transport",
            "wire",
        ],
    ),
    ("benches", &["content", "image-builder", "layer", "rafs", "testbed"]),
    ("fuzz", &["content", "dfdaemon", "registry", "telemetry", "transport", "wire"]),
    ("tests", &["content", "dfdaemon", "registry", "supernode", "testbed", "wire"]),
];

/// The crates that do no I/O, know no time, and run without a runtime.
const PURE: &[&str] = &["content", "layer", "merkle", "rafs", "schedule", "tree", "wire"];

/// What pure crates must not have anywhere below them.
const IMPURE: &[&str] = &["tokio", "mio", "async-std", "smol", "quinn", "hyper", "sled"];

/// What a program that runs with privileges must not link.
const FAR_FROM: &[(&str, &[&str])] = &[("nydusd", &["quinn", "sled"])];

/// Each heavy outside system, and the crates that know it. `deny.toml` says the same of the whole
/// dependency tree.
const KNOWN_TO: &[(&str, &[&str])] = &[
    ("axum", &["dfdaemon"]),
    ("fuser", &["nydusd"]),
    ("libc", &["sys"]),
    ("quinn", &["transport"]),
    ("reqwest", &["registry"]),
    ("sled", &["store"]),
];

/// The prefix of our packages.
const PREFIX: &str = "meganeura-";

#[test]
fn arrows_point_down_only() {
    let workspace = Workspace::read();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for name in workspace.members() {
        let Some(may_use) = allowed.get(name) else {
            wrong.push(format!("{name} has no row in ARROWS"));
            continue;
        };
        for used in workspace.uses(name).iter().filter_map(|used| used.strip_prefix(PREFIX)) {
            if !may_use.contains(&used) {
                wrong.push(format!("{name} must not use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rows_are_in_the_order_of_dependence() {
    let mut above = BTreeSet::new();
    for (name, may_use) in ARROWS {
        for used in *may_use {
            assert!(above.contains(used), "{name} uses {used}, which does not stand above it");
        }
        above.insert(*name);
    }
}

#[test]
fn pure_crates_have_no_runtime_below_them() {
    let workspace = Workspace::read();
    for name in PURE {
        let below = workspace.below(&format!("{PREFIX}{name}"));
        let found: Vec<_> = IMPURE.iter().filter(|impure| below.contains(**impure)).collect();
        assert!(found.is_empty(), "{name} is pure, but {found:?} stand below it");
    }
}

#[test]
fn what_has_privileges_links_little() {
    let workspace = Workspace::read();
    for (name, far) in FAR_FROM {
        let below = workspace.below(&format!("{PREFIX}{name}"));
        let found: Vec<_> = far.iter().filter(|far| below.contains(**far)).collect();
        assert!(found.is_empty(), "{name} links {found:?}");
    }
}

#[test]
fn each_outside_system_is_known_to_its_crate_only() {
    let workspace = Workspace::read();
    for (system, knowers) in KNOWN_TO {
        for name in workspace.members().filter(|name| !knowers.contains(name)) {
            assert!(!workspace.uses(name).contains(*system), "{name} must not use {system}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "these do not begin with `//! `: {silent:#?}");
}

#[test]
fn files_named_in_the_documents_exist() {
    let mut missing = Vec::new();
    let documents = ["README.md", "CHANGELOG.md", "SECURITY.md"].map(|name| root().join(name));
    let pages = fs::read_dir(root().join("docs")).expect("docs/");
    let pages = pages.map(|page| page.expect("a page").path());
    for document in documents.into_iter().chain(pages.filter(|page| page.is_file())) {
        let text = fs::read_to_string(&document).expect("a page of text");
        // What stands between backticks, has a slash and ends like a file of ours.
        let named = text.split('`').skip(1).step_by(2).filter(|name| {
            let ours = [".rs", ".md", ".toml", ".sh"].iter().any(|end| name.ends_with(end));
            ours && name.contains('/') && !name.starts_with('/') && !name.contains(['*', ' '])
        });
        missing.extend(
            named
                .filter(|name| !root().join(name).is_file())
                .map(|name| format!("{}: {name}", document.display())),
        );
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn unsafe_code_has_one_address() {
    let lifted = concat!("allow(", "unsafe_code)");
    for (path, text) in sources() {
        let in_sys = path.starts_with(root().join("crates/sys"));
        assert!(
            in_sys || !text.contains(lifted),
            "unsafe code belongs in crates/sys: {}",
            path.display()
        );
    }
}

/// The workspace as `cargo metadata` tells it: each package's own normal and build dependencies,
/// and the tree that cargo resolved.
struct Workspace {
    declared: BTreeMap<String, BTreeSet<String>>,
    names: BTreeMap<String, String>,
    resolved: BTreeMap<String, Vec<String>>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
        let packages = list(&metadata["packages"]);
        Self {
            declared: packages
                .filter(|package| text(&package["name"]).starts_with(PREFIX))
                .map(|package| (text(&package["name"]).to_owned(), declared(package)))
                .collect(),
            names: list(&metadata["packages"])
                .map(|package| (text(&package["id"]).to_owned(), text(&package["name"]).to_owned()))
                .collect(),
            resolved: list(&metadata["resolve"]["nodes"])
                .map(|node| (text(&node["id"]).to_owned(), resolved(node)))
                .collect(),
        }
    }

    /// Our crates, without their prefix.
    fn members(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().filter_map(|name| name.strip_prefix(PREFIX))
    }

    /// What our crate `name` says it uses, by package name.
    fn uses(&self, name: &str) -> &BTreeSet<String> {
        &self.declared[&format!("{PREFIX}{name}")]
    }

    /// The names of everything that is linked into `package`.
    fn below(&self, package: &str) -> BTreeSet<&str> {
        let start = self.names.iter().find(|(_, name)| *name == package);
        let mut open = vec![start.expect("a package of the workspace").0];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id.as_str()) {
                open.extend(&self.resolved[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

/// A package's dependencies, those for its tests aside.
fn declared(package: &Value) -> BTreeSet<String> {
    list(&package["dependencies"])
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| text(&dependency["name"]).to_owned())
        .collect()
}

/// The packages that a node of the resolved tree links: neither for tests nor for build scripts.
fn resolved(node: &Value) -> Vec<String> {
    list(&node["deps"])
        .filter(|dependency| list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()))
        .map(|dependency| text(&dependency["pkg"]).to_owned())
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("tests/ lies in the workspace").to_owned()
}

/// Every Rust file of the workspace, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((path, text));
            }
        }
    }
    found
}
