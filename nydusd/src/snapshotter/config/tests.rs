//! Configurations as they are written, and as nobody should write them.

use std::path::{Path, PathBuf};

use super::backend::FilesBackend;
use super::*;

/// As nydus-snapshotter 0.15.2 wrote it for a mount, with credentials added.
const WRITTEN: &str = r#"{"device":{"backend":{"type":"registry","config":{"readahead":false,
    "host":"127.0.0.1:5801","repo":"demo/app","auth":"dXNlcjpwYTpzcw==","scheme":"http",
    "proxy":{"fallback":false},"timeout":5,"connect_timeout":5,"retry_limit":2}},
    "cache":{"type":"blobcache","config":{"work_dir":"/var/lib/snap/cache",
    "disable_indexed_map":false}}},"mode":"direct","digest_validate":false,"enable_xattr":true,
    "amplify_io":1048576,"fs_prefetch":{"enable":true,"prefetch_all":true,"threads_count":8,
    "merging_size":1048576,"bandwidth_rate":0}}"#;

fn registry(config: &Config) -> &RegistryBackend {
    match &config.backend {
        Backend::Registry(registry) => registry,
        Backend::Files(files) => panic!("{files:?}"),
    }
}

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

/// A text of version 1 with this backend.
fn with_backend(backend: &str) -> String {
    format!(r#"{{"device":{{"backend":{backend}}}}}"#)
}

#[test]
fn what_the_snapshotter_writes() {
    let config = Config::parse(WRITTEN).unwrap();
    let registry = registry(&config);
    assert_eq!(registry.repository.to_string(), "127.0.0.1:5801/demo/app");
    assert!(registry.plain_http);
    assert_eq!(registry.auth, Some(Auth::basic("dXNlcjpwYTpzcw==".to_owned()).unwrap()));
    assert_eq!(config.cache.as_deref(), Some(Path::new("/var/lib/snap/cache")));
    assert_eq!(config.prefetch, Prefetch { enable: true, all: true, bandwidth: None });
    assert_eq!(config.ignored, [VALIDATE]);
}

#[test]
fn a_switch_that_would_serve_unverified_bytes_is_accepted_and_told() {
    let text = r#"{"device":{"backend":{"type":"localfs","config":{"dir":"/b"}},
        "cache":{"type":"filecache","validate":false,"config":{"work_dir":"/c"}}}}"#;
    assert_eq!(Config::parse(text).unwrap().ignored, [VALIDATE]);
    let checked = text.replace("false", "true");
    assert!(Config::parse(&checked).unwrap().ignored.is_empty());
    let unsaid = text.replace(r#""validate":false,"#, "");
    assert!(Config::parse(&unsaid).unwrap().ignored.is_empty());
}

#[test]
fn version_2_as_json_and_as_toml_says_the_same() {
    let json = r#"{"version":2,"id":"x","backend":{"type":"registry","registry":
        {"host":"r.example","repo":"a/b","registry_token":"t0ken","ca_cert_files":["/ca.pem"]}},
        "cache":{"type":"filecache","validate":false,"filecache":{"work_dir":"/c"},
        "prefetch":{"enable":true,"bandwidth_limit":7}},"rafs":{"mode":"direct"}}"#;
    let toml = r#"
        version = 2
        [backend]
        type = "registry"
        [backend.registry]
        host = "r.example"
        repo = "a/b"
        registry_token = "t0ken"
        ca_cert_files = ["/ca.pem"]
        [cache]
        type = "filecache"
        validate = false
        [cache.filecache]
        work_dir = "/c"
        [cache.prefetch]
        enable = true
        bandwidth_limit = 7
    "#;
    let config = Config::parse(json).unwrap();
    assert_eq!(config, Config::parse(toml).unwrap());
    assert_eq!(registry(&config).ca, [PathBuf::from("/ca.pem")]);
    assert!(!registry(&config).plain_http);
    assert_eq!(registry(&config).auth, Some(Auth::Bearer("t0ken".to_owned().into())));
    assert_eq!(config.prefetch, Prefetch { enable: true, all: false, bandwidth: Some(7) });
    assert_eq!(config.ignored, [VALIDATE]);
}

#[test]
fn files_are_counted_if_that_is_asked_for() {
    let text = with_backend(r#"{"type":"localfs","config":{"dir":"/b"}}"#);
    let none = Counting::default();
    assert_eq!(Config::parse(&text).unwrap().counting, none);
    let with = |key: &str| text.replacen('{', &format!(r#"{{"{key}":true,"#), 1);
    let counted = |key: &str| Config::parse(&with(key)).unwrap().counting;
    assert_eq!(counted("iostats_files"), Counting { files: true, ..none });
    assert_eq!(counted("access_pattern"), Counting { pattern: true, ..none });
    assert_eq!(counted("latest_read_files"), Counting { latest: true, ..none });
    let toml = r#"
        version = 2
        backend = { type = "localfs", localfs = { dir = "/b" } }
        rafs = { mode = "direct", access_pattern = true }
    "#;
    assert_eq!(Config::parse(toml).unwrap().counting, Counting { pattern: true, ..none });
}

#[test]
fn the_docker_hub_is_called_as_images_call_it() {
    let text = with_backend(
        r#"{"type":"registry","config":{"host":"index.docker.io","repo":"library/redis"}}"#,
    );
    let config = Config::parse(&text).unwrap();
    assert_eq!(registry(&config).repository.to_string(), "docker.io/library/redis");
}

#[test]
fn blobs_may_be_files() {
    let of = |keys: &str| {
        let text = with_backend(&format!(r#"{{"type":"localfs","config":{{{keys}}}}}"#));
        Config::parse(&text).unwrap().backend
    };
    assert_eq!(of(r#""dir":"/b""#), Backend::Files(FilesBackend::Folder("/b".into())));
    assert_eq!(of(r#""blob_file":"/f""#), Backend::Files(FilesBackend::File("/f".into())));
}

#[test]
fn what_is_asked_for_and_not_done_is_said() {
    let text = with_backend(
        r#"{"type":"registry","config":{"host":"r.example","repo":"a","skip_verify":true,
            "mirrors":[{"host":"http://m"}],"proxy":{"url":"http://p"}}}"#,
    );
    let ignored = Config::parse(&text).unwrap().ignored.join("\n");
    assert!(ignored.contains("skip_verify") && ignored.contains("mirrors"), "{ignored}");
}

#[test]
fn what_is_no_configuration_is_refused_with_a_reason() {
    assert!(refused("").contains("backend") || refused("").contains("version"), "{}", refused(""));
    assert!(refused("{").contains("EOF"));
    assert!(refused("{}").contains("device"));
    assert!(refused("version = 3\n[backend]\ntype = \"registry\"").contains("must be 2"));
    assert!(refused(&" ".repeat(LONGEST + 1)).contains("longer"));
    assert!(refused(&with_backend(r#"{"type":"oss","config":{}}"#)).contains("oss"));
    assert!(refused(&with_backend(r#"{"type":"registry"}"#)).contains("host"));
    assert!(refused(&with_backend(r#"{"type":"localfs"}"#)).contains("dir"));
    let odd = r#"{"type":"registry","config":{"host":"a b","repo":"x"}}"#;
    assert!(refused(&with_backend(odd)).contains("a b/x"));
    let deep = "[".repeat(100_000);
    assert!(!refused(&format!("{{\"device\":{deep}")).is_empty(), "no stack is so deep");
}

#[test]
fn credentials_are_neither_printed_nor_quoted() {
    let config = Config::parse(WRITTEN).unwrap();
    assert!(!format!("{config:?}").contains("dXNlcjpwYTpzcw=="));
    for auth in ["s3cret!", "c2VjcmV0"] {
        let text = WRITTEN.replace("dXNlcjpwYTpzcw==", auth);
        let error = Config::parse(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(auth), "{error:?}");
    }
}

/// Whatever stands in a configuration, what comes of it can be used: no panic, no name of a
/// repository that is none, no credentials that are printed.
#[test]
fn any_text_is_read_or_refused() {
    bolero::check!().with_type::<(String, String, String, u8)>().for_each(
        |(text, host, repo, form)| {
            let quoted = |text: &str| serde_json::Value::from(text).to_string();
            let (host, repo, auth) = (quoted(host), quoted(repo), quoted(text));
            let keys = format!(r#""host":{host},"repo":{repo},"auth":{auth}"#);
            let text = match form % 3 {
                0 => text.clone(),
                1 => with_backend(&format!(r#"{{"type":"registry","config":{{{keys}}}}}"#)),
                _ => format!(
                    r#"{{"version":2,"backend":{{"type":"registry","registry":{{{keys}}}}}}}"#
                ),
            };
            if let Ok(Config { backend: Backend::Registry(found), .. }) = Config::parse(&text) {
                let name = found.repository.to_string();
                assert!(!name.contains(['?', '#', '%', ' ', '@']) && !name.contains(".."));
            }
        },
    );
}
