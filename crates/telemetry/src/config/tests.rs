//! Which source wins, and what a mistake is told as.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::env::Variable;
use super::{ConfigError, file, load, print, resolve};
use crate::secret::Secret;
use crate::units::{ByteSize, Rate};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    state_dir: PathBuf,
    node: String,
    grace: u64,
    mirror: Mirror,
    supernode: Supernode,
    registry: Vec<Registry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mirror {
    listen: String,
    open: bool,
    advertise: Vec<String>,
    quota: ByteSize,
    upload: Rate,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Supernode {
    join: Secret,
    zone: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    host: String,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/meganeura".into(),
            node: "here".into(),
            grace: 20,
            mirror: Mirror::default(),
            supernode: Supernode::default(),
            registry: Vec::new(),
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:65001".into(),
            open: false,
            advertise: Vec::new(),
            quota: ByteSize::gib(1),
            upload: Rate::UNLIMITED,
        }
    }
}

fn from(text: &str, variables: &[(&str, &str)]) -> Result<Sample, ConfigError> {
    let file = file::Source { path: "/etc/meganeura/sample.toml".into(), text: text.to_owned() };
    let variables: Vec<Variable> =
        variables.iter().filter_map(|(name, text)| Variable::new(name, text)).collect();
    resolve(Some(&file), &variables)
}

fn told(result: Result<Sample, ConfigError>) -> String {
    result.expect_err("this configuration is wrong").to_string()
}

#[test]
fn file_is_over_defaults_and_environment_over_file() {
    let config = from(
        "grace = 5\n[mirror]\nlisten = \"127.0.0.1:1\"\nopen = true",
        &[
            ("MEGANEURA_MIRROR__LISTEN", "127.0.0.1:2"),
            ("MEGANEURA_MIRROR__UPLOAD", "200Mbit/s"),
            ("MEGANEURA_SUPERNODE__ZONE", "a"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.node, "here");
    assert_eq!(config.grace, 5);
    assert!(config.mirror.open);
    assert_eq!(config.mirror.listen, "127.0.0.1:2");
    assert_eq!(config.mirror.upload, Rate::bytes_per_second(25_000_000));
    assert_eq!(config.mirror.quota, ByteSize::gib(1));
    assert_eq!(config.supernode.zone.as_deref(), Some("a"));
}

#[test]
fn the_default_tells_the_type_of_a_variable() {
    let config = from(
        "",
        &[
            ("MEGANEURA_NODE", "123"),
            ("MEGANEURA_GRACE", "7"),
            ("MEGANEURA_MIRROR__OPEN", "true"),
            ("MEGANEURA_MIRROR__ADVERTISE", "a:1, b:2"),
            ("MEGANEURA_REGISTRY", "[{ host = \"docker.io\" }]"),
        ],
    )
    .unwrap();
    assert_eq!(config.node, "123");
    assert_eq!(config.grace, 7);
    assert!(config.mirror.open);
    assert_eq!(config.mirror.advertise, ["a:1", "b:2"]);
    assert_eq!(config.registry[0].host, "docker.io");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_is_accepted() {
    let told = told(from("grace = 5\n\n[mirror]\nlisen = \"x\"", &[]));
    assert!(told.starts_with("/etc/meganeura/sample.toml, line 4: "), "{told}");
    assert!(told.contains("`lisen`") && told.contains("`listen`"), "{told}");
}

#[test]
fn a_wrong_variable_is_named() {
    let unknown = told(from("", &[("MEGANEURA_MIRROR__LISEN", "x")]));
    assert!(unknown.contains("MEGANEURA_MIRROR__LISEN"), "{unknown}");
    assert!(unknown.contains("`listen`"), "{unknown}");
    let wrong = told(from("", &[("MEGANEURA_MIRROR__QUOTA", "big")]));
    assert!(wrong.contains("MEGANEURA_MIRROR__QUOTA") && wrong.contains("50GiB"), "{wrong}");
}

#[test]
fn an_error_does_not_quote_a_secret() {
    let told = told(from("[supernode]\njoin = \"hunter2\" oops", &[]));
    assert!(told.contains("line 2"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_kubernetes_makes_is_not_ours() {
    let config = from(
        "",
        &[
            ("MEGANEURA_SUPERNODE_SERVICE_HOST", "10.0.0.1"),
            ("MEGANEURA_SUPERNODE_SERVICE_PORT_HTTP", "8001"),
            ("MEGANEURA_SUPERNODE_PORT", "tcp://10.0.0.1:8001"),
            ("MEGANEURA_SUPERNODE_PORT_8001_TCP_ADDR", "10.0.0.1"),
            ("MEGANEURA_CONFIG", "/etc/meganeura/other.toml"),
        ],
    );
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn what_is_printed_reads_back_and_hides_secrets() {
    let config = from("[supernode]\njoin = \"hunter2\"", &[]).unwrap();
    let printed = print(&config).unwrap();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("join = \"<set>\""), "{printed}");
    let again: Sample = toml::from_str(&printed).unwrap();
    assert_eq!(print(&again).unwrap(), printed);
}

#[test]
fn a_named_file_must_exist_and_the_usual_one_need_not() {
    let missing = Path::new("/nonexistent/sample.toml");
    let told = told(load("sample", Some(missing)));
    assert!(told.contains("/nonexistent/sample.toml"), "{told}");
    assert!(load::<Sample>("a-binary-that-nobody-configured", None).is_ok());
}
