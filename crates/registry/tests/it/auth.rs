//! Tokens and passwords: how they are got, kept, renewed, and for whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use content::Digest;
use registry::{
    BlobInfo, Caller, Credential, CredentialsConfig, Error, Registries, RegistryConfig, Span,
};

use crate::support::{Answer, Seen, Server, client, object, read};

const ANONYMOUS: Caller = Caller::Client(None);

/// A registry whose blob wants `Bearer t<n>`, n being the number of the newest token.
#[derive(Default)]
struct Realm {
    issued: AtomicUsize,
}

impl Realm {
    fn issue(&self, expires_in: u64) -> Answer {
        let n = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        Answer::token(&format!("t{n}"), expires_in)
    }

    fn admits(&self, seen: &Seen) -> bool {
        let newest = format!("Bearer t{}", self.issued.load(Ordering::SeqCst));
        seen.authorization() == Some(&newest)
    }
}

/// A server with a blob behind a token; `token` answers the realm.
async fn with_realm(
    token: impl Fn(&Realm, &Seen) -> Answer + Send + Sync + 'static,
) -> (Server, Arc<Realm>) {
    let realm = Arc::new(Realm::default());
    let inside = Arc::clone(&realm);
    let make = |server: &Server| {
        let url = server.url("/token");
        move |seen: &Seen| match seen.path.as_str() {
            "/token" => token(&inside, seen),
            _ if inside.admits(seen) => Answer::ranged(seen, &[1; 100]),
            _ => Answer::challenge(&url),
        }
    };
    (Server::start_with(make, None).await, realm)
}

async fn head(
    registries: &Registries,
    server: &Server,
    caller: &Caller,
) -> Result<BlobInfo, Error> {
    let digest = Digest::of(b"the blob");
    registries.blob_head(&server.repository(), &digest, caller).await
}

/// Own credentials from a file in a folder that lives as long as the test.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("file");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn password(&self, server: &Server) -> RegistryConfig {
        let mut config = server.config();
        config.credentials = Some(CredentialsConfig {
            username: Some("us&er".into()),
            password_file: Some(self.file("pass=word\n")),
            docker_config: None,
        });
        config
    }

    fn docker(&self, server: &Server, entry: &str) -> RegistryConfig {
        let mut config = server.config();
        let host = server.host();
        let text = format!(r#"{{"auths": {{"{host}": {entry}}}}}"#);
        config.credentials = Some(CredentialsConfig {
            docker_config: Some(self.file(&text)),
            ..CredentialsConfig::default()
        });
        config
    }
}

#[tokio::test]
async fn anonymous_access_is_learned_by_get_and_kept() {
    let (server, _) = with_realm(|realm, _| realm.issue(300)).await;
    let registries = client([server.config()]);
    assert_eq!(head(&registries, &server, &ANONYMOUS).await.unwrap().length, 100);
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "a question, a token, an answer");
    assert_eq!((seen[1].method.as_str(), seen[1].authorization()), ("GET", None));
    assert_eq!(seen[1].query, "service=svc&scope=repository%3Ateam%2Fapp%3Apull");
    head(&registries, &server, &ANONYMOUS).await.unwrap();
    assert_eq!(server.seen().len(), 4, "the token is used again");
    // Ourselves without credentials are anonymous too.
    head(&registries, &server, &Caller::Own).await.unwrap();
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn many_at_once_learn_it_once() {
    let (server, _) =
        with_realm(|realm, _| realm.issue(300).after(Duration::from_millis(100))).await;
    let registries = client([server.config()]);
    let pulls = (0..50).map(|_| {
        let (registries, server) = (registries.clone(), server.clone());
        tokio::spawn(async move { head(&registries, &server, &ANONYMOUS).await })
    });
    for pull in pulls.collect::<Vec<_>>() {
        assert_eq!(pull.await.unwrap().unwrap().length, 100);
    }
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_denial_is_shared_too_and_the_first_challenge_handed_on() {
    let (server, _) =
        with_realm(|_, _| Answer::new(403, "denied").after(Duration::from_millis(500))).await;
    let registries = client([server.config()]);
    let pulls = (0..20).map(|_| {
        let (registries, server) = (registries.clone(), server.clone());
        tokio::spawn(async move { head(&registries, &server, &ANONYMOUS).await })
    });
    for pull in pulls.collect::<Vec<_>>() {
        let Err(Error::Refused(refusal)) = pull.await.unwrap() else {
            panic!("not refused");
        };
        assert_eq!(refusal.status, 401);
        assert!(refusal.www_authenticate[0].contains("repository:team/app:pull"));
    }
    assert!(server.count("/token") < 5, "{} times", server.count("/token"));
}

#[tokio::test]
async fn a_token_that_does_not_help_leaves_the_first_challenge() {
    for status in [401, 403] {
        let make = |server: &Server| {
            let url = server.url("/token");
            move |seen: &Seen| match (seen.path.as_str(), seen.authorization()) {
                ("/token", _) => Answer::token("useless", 300),
                (_, None) => Answer::challenge(&url).header("ratelimit-limit", "1"),
                (_, Some(_)) => {
                    Answer::new(status, "").header("www-authenticate", "Bearer error=\"x\"")
                }
            }
        };
        let server = Server::start_with(make, None).await;
        let registries = client([server.config()]);
        let Err(Error::Refused(refusal)) = head(&registries, &server, &ANONYMOUS).await else {
            panic!("not refused");
        };
        assert_eq!(refusal.status, 401);
        assert!(refusal.www_authenticate[0].starts_with("Bearer realm="));
        assert_eq!(refusal.headers[0].0, "ratelimit-limit");
        assert_eq!(server.seen().len(), 3, "it is tried once");
    }
}

#[tokio::test]
async fn a_clients_credential_is_passed_on_and_nothing_is_tried_for_it() {
    let (server, _) = with_realm(|realm, _| realm.issue(300)).await;
    let own = Own::new();
    let mut config = own.password(&server);
    config.serve_local_clients = true;
    let registries = client([config]);
    let caller = Caller::Client(Some(Credential::new("Bearer expired").unwrap()));
    let Err(Error::Refused(refusal)) = head(&registries, &server, &caller).await else {
        panic!("not refused");
    };
    assert_eq!(refusal.status, 401);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].authorization(), Some("Bearer expired"));
}

#[tokio::test]
async fn our_password_buys_a_token_by_post() {
    let (server, _) = with_realm(|realm, seen| match seen.method.as_str() {
        "POST" => realm.issue(300),
        _ => Answer::new(400, ""),
    })
    .await;
    let own = Own::new();
    let registries = client([own.password(&server)]);
    head(&registries, &server, &Caller::Own).await.unwrap();
    let form = &server.seen()[1].body;
    for part in [
        "grant_type=password",
        "username=us%26er",
        "password=pass%3Dword",
        "service=svc",
        "scope=repository%3Ateam%2Fapp%3Apull",
    ] {
        assert!(form.split('&').any(|p| p == part), "{part} in {form}");
    }
}

#[tokio::test]
async fn a_realm_that_knows_no_post_is_asked_by_get() {
    let (server, _) = with_realm(|realm, seen| match seen.method.as_str() {
        "POST" => Answer::new(405, ""),
        _ => realm.issue(300),
    })
    .await;
    let own = Own::new();
    let registries = client([own.password(&server)]);
    head(&registries, &server, &Caller::Own).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[2].authorization(), Some("Basic dXMmZXI6cGFzcz13b3Jk"));
    assert_eq!((seen[2].method.as_str(), seen[2].body.as_str()), ("GET", ""));
}

#[tokio::test]
async fn an_identity_token_buys_a_token() {
    let (server, _) = with_realm(|realm, _| realm.issue(300)).await;
    let own = Own::new();
    let registries = client([own.docker(&server, r#"{"identitytoken": "refr/esh"}"#)]);
    head(&registries, &server, &Caller::Own).await.unwrap();
    let asked = &server.seen()[1];
    assert_eq!(asked.method, "POST");
    for part in ["grant_type=refresh_token", "refresh_token=refr%2Fesh"] {
        assert!(asked.body.split('&').any(|p| p == part), "{part} in {}", asked.body);
    }
}

#[tokio::test]
async fn basic_is_met_with_a_password_and_kept() {
    let server = Server::start(|seen| match seen.authorization() {
        // "u:p"
        Some("Basic dTpw") => Answer::new(200, vec![0; 5]),
        _ => Answer::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
    })
    .await;
    let own = Own::new();
    let registries = client([own.docker(&server, r#"{"auth": "dTpw"}"#)]);
    for _ in 0..2 {
        assert_eq!(head(&registries, &server, &Caller::Own).await.unwrap().length, 5);
    }
    assert_eq!(server.seen().len(), 3);
    assert_eq!(server.seen()[0].authorization(), None, "nothing is sent unasked");
    // An anonymous client does not get what our credentials would.
    let error = head(&registries, &server, &ANONYMOUS).await;
    assert!(matches!(error, Err(Error::Refused(r)) if r.www_authenticate == ["Basic realm=\"x\""]));
}

#[tokio::test]
async fn our_credentials_serve_local_clients_only_where_it_says_so() {
    let (server, _) = with_realm(|realm, seen| match seen.method.as_str() {
        "POST" => realm.issue(300),
        _ => Answer::new(401, ""),
    })
    .await;
    let own = Own::new();
    let closed = client([own.password(&server)]);
    assert!(matches!(head(&closed, &server, &ANONYMOUS).await, Err(Error::Refused(_))));
    head(&closed, &server, &Caller::Own).await.unwrap();
    // The token that we hold ourselves does not leak to them either.
    assert!(matches!(head(&closed, &server, &ANONYMOUS).await, Err(Error::Refused(_))));
    let mut config = own.password(&server);
    config.serve_local_clients = true;
    head(&client([config]), &server, &ANONYMOUS).await.unwrap();
}

#[tokio::test]
async fn a_realm_elsewhere_is_not_asked() {
    let elsewhere = Server::start(|_| Answer::token("t", 300)).await;
    let realm = elsewhere.url("/token").replace("127.0.0.1", "127.0.0.2");
    let server = Server::start(move |_| Answer::challenge(&realm)).await;
    let own = Own::new();
    let mut config = own.password(&server);
    config.allow_loopback = true;
    for caller in [Caller::Own, ANONYMOUS] {
        let registries = client([config.clone()]);
        let error = head(&registries, &server, &caller).await.unwrap_err();
        let Error::RealmDenied { realm, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(realm, "127.0.0.2");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_configured_realm_is_asked_within_the_address_policy() {
    let elsewhere = Server::start(|_| Answer::token("t", 300)).await;
    let realm = elsewhere.named_url("/token");
    let server = Server::start(move |seen| match seen.authorization() {
        Some("Bearer t") => Answer::new(200, "ok"),
        _ => Answer::challenge(&realm),
    })
    .await;
    let mut config = server.config();
    config.token_realms = vec!["localhost".into()];
    let error = head(&client([config.clone()]), &server, &ANONYMOUS).await;
    assert!(matches!(error, Err(Error::AddressDenied { .. })), "{error:?}");
    assert!(elsewhere.seen().is_empty());
    config.allow_loopback = true;
    head(&client([config]), &server, &ANONYMOUS).await.unwrap();
}

#[tokio::test]
async fn a_realm_does_not_get_to_name_another() {
    let elsewhere = Server::start(|_| Answer::token("t", 300)).await;
    let to = elsewhere.url("/token");
    let (server, _) = with_realm(move |_, _| Answer::redirect(to.clone())).await;
    let own = Own::new();
    let mut config = own.password(&server);
    config.allow_loopback = true;
    let error = head(&client([config]), &server, &Caller::Own).await;
    assert!(matches!(error, Err(Error::Protocol { .. })), "{error:?}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_busy_realm_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let (server, _) = with_realm(move |realm, _| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(503, ""),
        _ => realm.issue(300),
    })
    .await;
    head(&client([server.config()]), &server, &ANONYMOUS).await.unwrap();
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let (server, _) = with_realm(|realm, _| realm.issue(1)).await;
    let registries = client([server.config()]);
    head(&registries, &server, &ANONYMOUS).await.unwrap();
    tokio::time::sleep(Duration::from_millis(950)).await;
    head(&registries, &server, &ANONYMOUS).await.unwrap();
    let paths: Vec<_> = server.seen().iter().map(|s| s.path == "/token").collect();
    assert_eq!(paths, [false, true, false, true, false], "the registry did not have to ask");
}

/// A server whose blob is cut in the middle, and whose token is void from then on.
async fn expiring(cut: usize, object: Vec<u8>) -> Server {
    let realm = Realm::default();
    let make = |server: &Server| {
        let url = server.url("/token");
        move |seen: &Seen| {
            if seen.path == "/token" {
                return realm.issue(300);
            }
            let first = seen.authorization() == Some("Bearer t1");
            match (first, seen.range_start()) {
                (true, None) => Answer::ranged(seen, &object).cut_at(cut),
                (false, _) if realm.admits(seen) => Answer::ranged(seen, &object),
                _ => Answer::challenge(&url),
            }
        }
    };
    Server::start_with(make, None).await
}

#[tokio::test]
async fn a_token_that_runs_out_in_mid_pull_is_renewed() {
    let object = object(100_000);
    let server = expiring(40_000, object.clone()).await;
    let own = Own::new();
    let registries = client([own.password(&server)]);
    let digest = Digest::of(b"the blob");
    let repository = server.repository();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let opened = registries.open_blob(&repository, &digest, Span::ALL, &Caller::Own);
        streams.push(opened.await.unwrap());
    }
    let [first, second] = streams.as_mut_slice() else { unreachable!() };
    let (first, second) = tokio::join!(read(first), read(second));
    assert!(first.unwrap() == object && second.unwrap() == object);
    assert_eq!(server.count("/token"), 2, "one to begin with, one renewal for both");
    let resumed = server.seen().iter().filter(|s| s.range_start() == Some(40_000)).count();
    assert!(resumed >= 2);
}

#[tokio::test]
async fn a_client_whose_token_runs_out_in_mid_pull_is_challenged() {
    let server = expiring(40_000, object(100_000)).await;
    let registries = client([server.config()]);
    let caller = Caller::Client(Some(Credential::new("Bearer t1").unwrap()));
    let (digest, repository) = (Digest::of(b"the blob"), server.repository());
    let opened = registries.open_blob(&repository, &digest, Span::ALL, &caller);
    let mut stream = opened.await.unwrap();
    let error = read(&mut stream).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(r) if r.status == 401 && !r.www_authenticate.is_empty())
    );
}
