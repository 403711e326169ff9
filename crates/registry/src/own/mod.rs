//! Our own credentials for a registry, read from where the configuration says when they are needed.

mod docker_config;
mod helper;

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::config::CredentialsConfig;
use crate::error::Error;

/// More than any such file has.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What we can show a registry.
#[derive(Clone)]
pub(crate) enum Secret {
    /// A user's name and password.
    Password { username: String, password: Zeroizing<String> },
    /// A refresh token, which buys access tokens.
    Identity(Zeroizing<String>),
    /// A bearer token as it is.
    Bearer(Zeroizing<String>),
}

impl Secret {
    /// The header's value for Basic authentication, if this is a password.
    pub(crate) fn basic(&self) -> Option<Zeroizing<String>> {
        let Self::Password { username, password } = self else {
            return None;
        };
        let pair = Zeroizing::new(format!("{username}:{}", password.as_str()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Some(Zeroizing::new(format!("Basic {}", encoded.as_str())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Why there is no secret to be had. Says what failed, never what was read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path}: {what}")]
    File { path: String, what: String },
    #[error("credential helper {name}: {what}")]
    Helper { name: String, what: String },
}

/// The secret for `registry`; none if the docker configuration has none for it.
pub(crate) async fn load(
    config: &CredentialsConfig,
    registry: &str,
) -> Result<Option<Secret>, Error> {
    let found = match (&config.username, &config.password_file, &config.docker_config) {
        (Some(username), Some(path), _) => password(username, path).await.map(Some),
        (_, _, Some(path)) => docker_config::find(path, registry).await,
        _ => Ok(None),
    };
    found.map_err(|failure| Error::Credentials {
        registry: registry.to_owned(),
        what: failure.to_string(),
    })
}

async fn password(username: &str, path: &Path) -> Result<Secret, Failure> {
    let text = read(path).await?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Secret::Password {
        username: username.to_owned(),
        password: Zeroizing::new(line.to_owned()),
    })
}

async fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |what: String| Failure::File { path: path.display().to_string(), what };
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|e| failed(e.to_string()))?;
    let mut text = Zeroizing::new(String::new());
    let mut bounded = file.take(LARGEST_FILE + 1);
    let read = bounded.read_to_string(&mut text).await;
    let length = read.map_err(|e| failed(e.to_string()))?;
    if length as u64 > LARGEST_FILE {
        return Err(failed("too large".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_file_may_end_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (text, expected) in [("p w\n", "p w"), ("p\r\n", "p"), ("p", "p"), ("p\n\n", "p\n")] {
            std::fs::write(&path, text).unwrap();
            let config = CredentialsConfig {
                username: Some("u".into()),
                password_file: Some(path.clone()),
                docker_config: None,
            };
            let secret = load(&config, "a.example").await.unwrap().unwrap();
            let Secret::Password { username, password } = &secret else {
                panic!("not a password");
            };
            assert_eq!((username.as_str(), password.as_str()), ("u", expected));
            assert_eq!(format!("{secret:?}"), "<redacted>");
        }
        std::fs::remove_file(&path).unwrap();
        let gone = CredentialsConfig {
            username: Some("u".into()),
            password_file: Some(path),
            docker_config: None,
        };
        assert!(matches!(load(&gone, "a").await, Err(Error::Credentials { .. })));
    }

    #[test]
    fn basic_is_base64_of_the_pair() {
        let secret = Secret::Password {
            username: "Aladdin".into(),
            password: Zeroizing::new("open sesame".into()),
        };
        let basic = secret.basic().unwrap();
        assert_eq!(basic.as_str(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
