//! A docker configuration file: `auths`, `credHelpers`, `credsStore`.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Failure, Secret, helper, read};

/// The file, as far as it concerns us.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

/// Padded or not: both are found in the wild.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the Docker Hub is called in these files, for historical reasons.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The secret that the file at `path` has for `registry`: from its helper, else the common store,
/// else the file itself.
pub(super) async fn find(path: &Path, registry: &str) -> Result<Option<Secret>, Failure> {
    let text = read(path).await?;
    let failed =
        |what: &str| Failure::File { path: path.display().to_string(), what: what.to_owned() };
    // The parser's own message could quote a piece of the file.
    let config: DockerConfig =
        serde_json::from_str(&text).map_err(|_| failed("not a docker configuration"))?;
    let helper = lookup(&config.cred_helpers, registry)
        .map(|(key, name)| (key.as_str(), name.as_str()))
        .or_else(|| Some((asked_as(registry), config.creds_store.as_deref()?)));
    if let Some((asked, name)) = helper.filter(|(_, name)| !name.is_empty())
        && let Some(secret) = helper::get(name, asked).await?
    {
        return Ok(Some(secret));
    }
    match lookup(&config.auths, registry) {
        Some((_, entry)) => secret(entry).map_err(failed),
        None => Ok(None),
    }
}

/// What a store that serves every registry is asked for.
fn asked_as(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// The entry whose key means `registry`, an exact one first.
fn lookup<'a, T>(entries: &'a HashMap<String, T>, registry: &str) -> Option<(&'a String, &'a T)> {
    let exact = entries.get_key_value(registry);
    exact.or_else(|| entries.iter().find(|(key, _)| host_of(key) == registry))
}

/// The registry that a key means: `https://index.docker.io/v1/` is docker.io, `https://a/v2/` is a.
/// A key with another path is for a part of a registry, and means none here.
fn host_of(key: &str) -> &str {
    let without_scheme =
        key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = without_scheme.split_once('/').unwrap_or((without_scheme, ""));
    match (host, path.trim_end_matches('/')) {
        ("docker.io" | "index.docker.io" | "registry-1.docker.io", "" | "v1" | "v2") => "docker.io",
        (host, "" | "v1" | "v2") => host,
        _ => "",
    }
}

fn secret(entry: &Entry) -> Result<Option<Secret>, &'static str> {
    if !entry.identitytoken.is_empty() {
        let token = Zeroizing::new(entry.identitytoken.clone());
        return Ok(Some(Secret::Identity(token)));
    }
    if !entry.registrytoken.is_empty() {
        let token = Zeroizing::new(entry.registrytoken.clone());
        return Ok(Some(Secret::Bearer(token)));
    }
    let (username, password) = if entry.auth.is_empty() {
        (entry.username.clone(), Zeroizing::new(entry.password.clone()))
    } else {
        pair(&entry.auth).ok_or("an `auth` is not base64 of a name, a colon and a password")?
    };
    if username.is_empty() {
        // docker leaves empty entries behind where a store has the secret.
        return Ok(None);
    }
    Ok(Some(Secret::Password { username, password }))
}

fn pair(auth: &str) -> Option<(String, Zeroizing<String>)> {
    let decoded = Zeroizing::new(LENIENT.decode(auth.trim()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old versions of docker padded with NUL.
    let password = password.trim_end_matches('\0');
    Some((username.to_owned(), Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn in_file(json: &str, registry: &str) -> Result<Option<Secret>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        find(&path, registry).await
    }

    fn shown(secret: Option<Secret>) -> String {
        match secret {
            None => "none".into(),
            Some(Secret::Password { username, password }) => {
                format!("{username}:{}", password.as_str())
            }
            Some(Secret::Identity(token)) => format!("identity {}", token.as_str()),
            Some(Secret::Bearer(token)) => format!("bearer {}", token.as_str()),
        }
    }

    const FILE: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnBhc3M6d29yZA=="},
            "a.example": {"username": "u", "password": "p"},
            "https://b.example/v2/": {"auth": "dTpw", "identitytoken": "refresh"},
            "c.example:5000": {"registrytoken": "token"},
            "d.example/part": {"username": "only", "password": "part"},
            "e.example": {}
        },
        "HttpHeaders": {"User-Agent": "x"}
    }"#;

    #[tokio::test]
    async fn every_kind_of_entry() {
        for (registry, expected) in [
            ("docker.io", "hub:pass:word"),
            ("a.example", "u:p"),
            ("b.example", "identity refresh"),
            ("c.example:5000", "bearer token"),
            ("c.example", "none"),
            ("d.example", "none"),
            ("e.example", "none"),
            ("f.example", "none"),
        ] {
            assert_eq!(shown(in_file(FILE, registry).await.unwrap()), expected, "{registry}");
        }
    }

    #[tokio::test]
    async fn a_broken_file_is_an_error_that_does_not_quote_it() {
        for bad in [r#"{"auths": "s3cret"}"#, "s3cret", r#"{"auths": {"a": {"auth": "s3cret!"}}}"#]
        {
            let error = in_file(bad, "a").await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }
}
