//! Credential helpers: programs named `docker-credential-<name>` that are asked for a host on
//! their standard input, and answer in JSON.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Failure, Secret};

/// How long a helper may take: some ask a cloud's API.
const TIMEOUT: Duration = Duration::from_secs(20);
/// More than any answer has.
const LONGEST_ANSWER: u64 = 64 * 1024;
/// The user's name that tells of a refresh token.
const IDENTITY_TOKEN: &str = "<token>";

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Asks the helper `name` for `host`; none if it has nothing for it.
pub(super) async fn get(name: &str, host: &str) -> Result<Option<Secret>, Failure> {
    let failed = |what: String| Failure::Helper { name: name.to_owned(), what };
    // The name becomes part of a program's name: no paths, no surprises.
    if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        return Err(failed("not a helper's name".to_owned()));
    }
    let child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let talked = tokio::time::timeout(TIMEOUT, talk(child, host)).await;
    let (success, output) = match talked {
        Ok(talked) => talked.map_err(|e| failed(e.to_string()))?,
        Err(_) => return Err(failed(format!("no answer in {TIMEOUT:?}"))),
    };
    if success {
        return read(&output).map(Some).map_err(|what| failed(what.to_owned()));
    }
    // The one failure that the protocol gives a fixed text.
    if output.starts_with(b"credentials not found") {
        return Ok(None);
    }
    Err(failed("it failed".to_owned()))
}

async fn talk(mut child: Child, host: &str) -> std::io::Result<(bool, Zeroizing<Vec<u8>>)> {
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that answers without reading is fine.
        let _ = stdin.write_all(host.as_bytes()).await;
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST_ANSWER).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}

fn read(output: &[u8]) -> Result<Secret, &'static str> {
    let answer: Answer = serde_json::from_slice(output).map_err(|_| "its answer is not JSON")?;
    let secret = Zeroizing::new(answer.secret.clone());
    Ok(match answer.username.as_str() {
        IDENTITY_TOKEN => Secret::Identity(secret),
        username => Secret::Password { username: username.to_owned(), password: secret },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_a_path_is_refused() {
        for bad in ["../../bin/sh", "a/b", "a b", "a;b"] {
            assert!(get(bad, "a.example").await.is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refresh_token_is_told_by_its_user() {
        let read = |json: &str| read(json.as_bytes());
        assert!(matches!(
            read(r#"{"ServerURL":"a","Username":"<token>","Secret":"s"}"#),
            Ok(Secret::Identity(_))
        ));
        assert!(matches!(read(r#"{"Username":"u","Secret":"s"}"#), Ok(Secret::Password { .. })));
        assert!(read("s3cret").is_err_and(|what| !what.contains("s3cret")));
    }
}
