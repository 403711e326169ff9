//! What the environment decides: proxies, and where credential helpers are found. A process's own
//! environment cannot be changed safely, so these tests run themselves once more with another.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use content::Digest;
use registry::{Caller, CredentialsConfig, RegistryConfig, Repository};
use tokio::process::Command;

use crate::support::{Answer, Server, client};

/// Tells a run of the second kind.
const INSIDE: &str = "MEGANEURA_TEST_INSIDE";

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the test `name` again with these variables; it must pass.
async fn run_inside(name: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("environment::{name}"), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn a_proxy_is_used_but_not_for_loopback() {
    if is_inside() {
        return through_proxy().await;
    }
    let proxy = Server::start(|_| Answer::new(200, vec![0; 33])).await;
    let name = "a_proxy_is_used_but_not_for_loopback";
    // By a name that resolves to loopback: the policy is for upstreams, not for the proxy.
    let url = proxy.named_url("");
    run_inside(name, &[("HTTP_PROXY", &url), ("NO_PROXY", "")]).await;
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    let digest = Digest::of(b"x");
    assert_eq!(seen[0].uri, format!("http://r.invalid/v2/a/blobs/{digest}"));
}

async fn through_proxy() {
    let here = Server::start(|_| Answer::new(200, vec![0; 11])).await;
    let mut elsewhere = RegistryConfig::new("r.invalid");
    elsewhere.http = true;
    let registries = client([elsewhere, here.config()]);
    let (digest, caller) = (Digest::of(b"x"), Caller::Client(None));
    let remote = Repository::new("r.invalid", "a").unwrap();
    let info = registries.blob_head(&remote, &digest, &caller).await;
    assert_eq!(info.unwrap().length, 33, "from the proxy");
    let info = registries.blob_head(&here.repository(), &digest, &caller).await;
    assert_eq!(info.unwrap().length, 11, "directly");
}

#[tokio::test]
async fn a_credential_helper_is_found_by_path() {
    if is_inside() {
        return with_helper().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("docker-credential-fake");
    // Shell built-ins only: nothing else is on this PATH.
    let text = r#"#!/bin/sh
read -r host
if [ "$1" != get ]; then exit 2; fi
case "$host" in
127.0.0.1:*) echo '{"ServerURL":"x","Username":"u","Secret":"p"}' ;;
silent.example) exit 3 ;;
*) echo "credentials not found in native keychain"; exit 1 ;;
esac
"#;
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().to_str().unwrap();
    run_inside("a_credential_helper_is_found_by_path", &[("PATH", path)]).await;
}

async fn with_helper() {
    let server = Server::start(|seen| match seen.authorization() {
        // "u:p"
        Some("Basic dTpw") => Answer::new(200, vec![0; 5]),
        _ => Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let caller = Caller::Own;
    let host = server.host();
    for (file, works) in [
        (format!(r#"{{"credHelpers": {{"{host}": "fake"}}}}"#), true),
        (r#"{"credsStore": "fake"}"#.to_owned(), true),
        (r#"{"credsStore": "missing"}"#.to_owned(), false),
        (r#"{"credHelpers": {"other.example": "fake"}}"#.to_owned(), false),
    ] {
        std::fs::write(&path, &file).unwrap();
        let mut config = server.config();
        config.credentials = Some(CredentialsConfig {
            docker_config: Some(path.clone()),
            ..CredentialsConfig::default()
        });
        let registries = client([config]);
        let head = registries.blob_head(&server.repository(), &Digest::of(b"x"), &caller).await;
        assert_eq!(head.is_ok(), works, "{file}: {head:?}");
    }
    helper_that_knows_nothing(&server, &path).await;
}

/// "Not found" leads on to the file's own entry; any other failure is told.
async fn helper_that_knows_nothing(server: &Server, path: &std::path::Path) {
    for (alias, works) in [("unknown.example", true), ("silent.example", false)] {
        let file =
            format!(r#"{{"credsStore": "fake", "auths": {{"{alias}": {{"auth": "dTpw"}}}}}}"#);
        std::fs::write(path, file).unwrap();
        let mut config = RegistryConfig::new(alias);
        config.http = true;
        config.endpoint = server.url("/").parse().ok();
        config.credentials = Some(CredentialsConfig {
            docker_config: Some(path.to_owned()),
            ..CredentialsConfig::default()
        });
        let repository = Repository::new(alias, "a").unwrap();
        let registries = client([config]);
        let head = registries.blob_head(&repository, &Digest::of(b"x"), &Caller::Own).await;
        assert_eq!(head.is_ok(), works, "{alias}: {head:?}");
    }
}
