//! What is secret is in no log, no error and no `Debug`.

use std::io;
use std::sync::{Arc, Mutex};

use content::Digest;
use registry::{Caller, Credential, CredentialsConfig, Registries, RegistriesConfig, Span};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Answer, Seen, Server, hurried, read};

/// Stands in every place that must not be shown.
const SECRET: &str = "s3cret";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A server that has trouble of every kind, and says secrets wherever it can.
async fn troubled() -> Server {
    let make = |server: &Server| {
        let realm = server.url(&format!("/token?k={SECRET}"));
        let object = server.url(&format!("/object?signature={SECRET}"));
        move |seen: &Seen| {
            let digest = |text: &[u8]| Digest::of(text).to_string();
            let asks = |text: &[u8]| seen.path.ends_with(&digest(text));
            match (seen.path.as_str(), seen.authorization()) {
                ("/token", _) if seen.method == "POST" => Answer::new(405, ""),
                ("/token", _) => Answer::token(SECRET, 300),
                ("/object", _) if seen.range_start().is_some() => {
                    Answer::ranged(seen, &[1; 100]).cut_at(0)
                }
                ("/object", _) => Answer::ranged(seen, &[1; 100]).cut_at(10),
                _ if asks(b"busy") => Answer::new(503, format!("you sent {SECRET}")),
                _ if asks(b"broken token") => {
                    Answer::challenge(&realm.replace("/token", "/broken"))
                }
                ("/broken", _) => Answer::new(200, format!("{{\"token\": {SECRET}")),
                (_, None) => Answer::challenge(&realm),
                _ if asks(b"refused") => {
                    Answer::new(401, SECRET).header("www-authenticate", SECRET)
                }
                _ if asks(b"cut") => Answer::redirect(object.clone()),
                _ if asks(b"unreachable") => {
                    Answer::redirect(format!("http://127.0.0.1:1/{SECRET}?{SECRET}"))
                }
                _ => Answer::redirect(format!("http://169.254.169.254/{SECRET}?{SECRET}")),
            }
        }
    };
    Server::start_with(make, None).await
}

/// A client with a password of its own.
fn registries(server: &Server) -> (Registries, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, SECRET).unwrap();
    let mut config = server.config();
    config.allow_loopback = true;
    config.credentials = Some(CredentialsConfig {
        username: Some("u".into()),
        password_file: Some(password_file),
        docker_config: None,
    });
    let config = RegistriesConfig {
        registry: vec![config],
        url_prefixes: vec![server.url("/")],
        ..hurried()
    };
    (Registries::new(config).unwrap(), folder)
}

#[tokio::test]
async fn secrets_are_shown_nowhere() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("registry=trace")
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = troubled().await;
    let (registries, _folder) = registries(&server);
    let passed = Credential::new(format!("Bearer {SECRET}")).unwrap();
    let mut shown = format!("{registries:?} {passed:?}");
    let mut failures = 0;
    for caller in [Caller::Own, Caller::Client(None), Caller::Client(Some(passed))] {
        shown += &format!("{caller:?}");
        for blob in ["busy", "broken token", "refused", "cut", "unreachable", "denied"] {
            let digest = Digest::of(blob.as_bytes());
            let repository = server.repository();
            let opened = registries.open_blob(&repository, &digest, Span::ALL, &caller);
            let error = match opened.await {
                Err(error) => error,
                Ok(mut stream) => {
                    shown += &format!("{stream:?}");
                    read(&mut stream).await.unwrap_err()
                }
            };
            shown += &format!("{error} {error:?}\n");
            failures += 1;
        }
    }
    let url = server.url(&format!("/object?signature={SECRET}")).parse().unwrap();
    let headers = [("Authorization".to_owned(), format!("Bearer {SECRET}"))];
    let stream = registries.open_url(&url, Span::ALL, &headers).await.unwrap();
    shown += &format!("{stream:?}");

    assert_eq!(failures, 18);
    assert!(!shown.contains(SECRET), "{shown}");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("upstream is asked again"), "there is a log: {log}");
    assert!(!log.contains(SECRET), "{log}");
}
