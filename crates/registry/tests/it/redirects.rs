//! Redirects: where they may lead, and what travels along.

use content::Digest;
use registry::{Caller, Credential, Error, RegistryConfig};

use crate::support::{Answer, Server, blob_path, client, object, read};

fn caller() -> Caller {
    Caller::Client(Some(Credential::new("Bearer the-clients").unwrap()))
}

async fn pull(server: &Server, config: RegistryConfig) -> Result<Vec<u8>, Error> {
    let registries = client([config]);
    let digest = Digest::of(b"the blob");
    let opened = registries.open_blob(&server.repository(), &digest, 10.., &caller()).await;
    read(&mut opened?).await
}

fn with_loopback(server: &Server) -> RegistryConfig {
    let mut config = server.config();
    config.allow_loopback = true;
    config
}

#[tokio::test]
async fn authorization_stays_at_home_and_the_range_travels() {
    let object = object(1_000);
    let served = object.clone();
    let storage = Server::start(move |seen| Answer::ranged(seen, &served)).await;
    let to = storage.url("/object?signature=abc");
    let server = Server::start(move |_| Answer::redirect(to.clone())).await;
    assert!(pull(&server, with_loopback(&server)).await.unwrap() == object[10..]);
    assert_eq!(server.seen()[0].authorization(), Some("Bearer the-clients"));
    let seen = &storage.seen()[0];
    assert_eq!(seen.authorization(), None);
    assert_eq!(seen.range_start(), Some(10));
    assert_eq!(seen.uri, "/object?signature=abc");
}

#[tokio::test]
async fn at_home_authorization_is_sent_again_but_not_after_a_detour() {
    let make = |detour: Option<String>| {
        move |home: &Server| {
            let back = home.url("/back");
            move |seen: &crate::support::Seen| match (seen.path.as_str(), &detour) {
                ("/back", _) => Answer::ranged(seen, &[1; 20]),
                (_, Some(detour)) => Answer::redirect(format!("{detour}?{back}")),
                (_, None) => Answer::redirect("/back"),
            }
        }
    };
    let direct = Server::start_with(make(None), None).await;
    assert_eq!(pull(&direct, direct.config()).await.unwrap().len(), 10);
    assert_eq!(direct.seen()[1].authorization(), Some("Bearer the-clients"));

    let elsewhere = Server::start(|seen| Answer::redirect(seen.query.clone())).await;
    let around = Server::start_with(make(Some(elsewhere.url("/"))), None).await;
    assert_eq!(pull(&around, with_loopback(&around)).await.unwrap().len(), 10);
    assert_eq!(around.seen()[1].path, "/back");
    assert_eq!(around.seen()[1].authorization(), None);
}

#[tokio::test]
async fn metadata_services_are_never_asked() {
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://metadata.google.internal/",
    ] {
        let server = Server::start(move |_| Answer::redirect(target)).await;
        let mut config = with_loopback(&server);
        config.allow_private = true;
        let error = pull(&server, config).await.unwrap_err();
        assert!(matches!(error, Error::AddressDenied { .. }), "{target}: {error:?}");
        assert_eq!(server.seen().len(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn loopback_and_private_addresses_need_leave() {
    let storage = Server::start(|seen| Answer::ranged(seen, &[1; 20])).await;
    // By address, and by a name that has to be resolved first.
    for to in [storage.url("/"), storage.named_url("/")] {
        let target = to.clone();
        let server = Server::start(move |_| Answer::redirect(target.clone())).await;
        let error = pull(&server, server.config()).await.unwrap_err();
        assert!(matches!(error, Error::AddressDenied { .. }), "{to}: {error:?}");
        assert!(storage.seen().is_empty());
    }
    let named = storage.named_url("/");
    let server = Server::start(move |_| Answer::redirect(named.clone())).await;
    assert_eq!(pull(&server, with_loopback(&server)).await.unwrap().len(), 10);

    let server = Server::start(|_| Answer::redirect("http://10.255.255.1/")).await;
    let error = pull(&server, with_loopback(&server)).await.unwrap_err();
    assert!(matches!(error, Error::AddressDenied { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endpoint_on_loopback_by_name_of_another_host_needs_leave() {
    let server = Server::start(|seen| Answer::ranged(seen, &[1; 20])).await;
    let digest = Digest::of(b"the blob");
    let repository = registry::Repository::new("r.example", "team/app").unwrap();
    let mut config = RegistryConfig::new("r.example");
    config.http = true;
    config.endpoint = server.named_url("/").parse().ok();
    // `localhost` is literally loopback.
    let registries = client([config]);
    let opened = registries.open_blob(&repository, &digest, 10.., &caller()).await;
    assert_eq!(read(&mut opened.unwrap()).await.unwrap().len(), 10);
    assert_eq!(server.seen()[0].path, blob_path(&digest));
}

#[tokio::test]
async fn another_configured_registry_may_be_redirected_to() {
    let other = Server::start(|seen| Answer::ranged(seen, &[1; 20])).await;
    let to = other.url("/");
    let server = Server::start(move |_| Answer::redirect(to.clone())).await;
    let registries = client([server.config(), other.config()]);
    let digest = Digest::of(b"the blob");
    let opened = registries.open_blob(&server.repository(), &digest, 10.., &caller()).await;
    assert_eq!(read(&mut opened.unwrap()).await.unwrap().len(), 10);
    assert_eq!(other.seen()[0].authorization(), None);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|seen| Answer::redirect(format!("{}x", seen.path))).await;
    let error = pull(&server, server.config()).await.unwrap_err();
    assert!(matches!(error, Error::RedirectDenied { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 11);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_error() {
    for target in ["ftp://a.example/", "http://", "file:///etc/passwd", "http://u:p@127.0.0.1/"] {
        let server = Server::start(move |_| Answer::redirect(target)).await;
        let error = pull(&server, with_loopback(&server)).await.unwrap_err();
        assert!(matches!(error, Error::RedirectDenied { .. }), "{target}: {error:?}");
    }
}

#[tokio::test]
async fn storage_cannot_challenge_for_the_registry() {
    let storage = Server::start_with(
        |storage| {
            let realm = storage.url("/token");
            move |seen| match seen.path.as_str() {
                "/token" => Answer::token("t", 60),
                _ => Answer::challenge(&realm),
            }
        },
        None,
    )
    .await;
    let to = storage.url("/object");
    let server = Server::start(move |_| Answer::redirect(to.clone())).await;
    let registries = client([with_loopback(&server)]);
    let digest = Digest::of(b"the blob");
    let anonymous = Caller::Client(None);
    let opened = registries.open_blob(&server.repository(), &digest, 0.., &anonymous).await;
    let Err(Error::Refused(refusal)) = opened else {
        panic!("not refused");
    };
    assert_eq!(refusal.status, 401);
    assert!(refusal.www_authenticate.is_empty());
    assert_eq!(storage.count("/token"), 0);
}
