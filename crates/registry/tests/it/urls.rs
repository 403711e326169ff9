//! Any admitted URL, as `dfget` reads it.

use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{Error, Registries, RegistriesConfig, Span, UrlStream};
use url::Url;

use crate::support::{Answer, Seen, Server, hurried, object};

fn client(prefix: &str) -> Registries {
    let config = RegistriesConfig { url_prefixes: vec![prefix.to_owned()], ..hurried() };
    Registries::new(config).unwrap()
}

async fn open(server: &Server, path: &str, span: impl Into<Span>) -> Result<UrlStream, Error> {
    let registries = client(&server.url("/files/"));
    let url: Url = server.url(path).parse().unwrap();
    let headers = [("X-Token".to_owned(), "s".to_owned())];
    registries.open_url(&url, span, &headers).await
}

async fn read(mut stream: UrlStream) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

/// A server that answers the n-th request as told.
async fn scripted(answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Server {
    let n = AtomicUsize::new(0);
    Server::start(move |seen| answer(n.fetch_add(1, Ordering::SeqCst), seen)).await
}

#[tokio::test]
async fn a_url_is_resumed_while_it_stays_the_same() {
    let object = object(10_000);
    let served = object.clone();
    let server = scripted(move |n, seen| {
        let answer = Answer::ranged(seen, &served)
            .header("etag", "\"v1\"")
            .header("content-type", "text/plain; charset=utf-8");
        if n == 0 { answer.cut_at(4_000) } else { answer }
    })
    .await;
    let stream = open(&server, "/files/a?b=c", Span::ALL).await.unwrap();
    assert_eq!(stream.total, Some(10_000));
    assert_eq!(stream.etag.as_deref(), Some("\"v1\""));
    assert_eq!(stream.content_type.as_deref(), Some("text/plain; charset=utf-8"));
    assert!(read(stream).await.unwrap() == object);
    let seen = server.seen();
    assert_eq!(seen[0].uri, "/files/a?b=c");
    assert_eq!(seen[0].header("x-token"), Some("s"));
    assert_eq!(seen[1].header("range"), Some("bytes=4000-"));
    assert_eq!(seen[1].header("if-range"), Some("\"v1\""));
}

#[tokio::test]
async fn content_that_changes_in_mid_transfer_is_an_error() {
    // A server that heeds If-Range sends all of the new content.
    let server = scripted(|n, seen| match n {
        0 => Answer::ranged(seen, &[1; 1_000]).header("etag", "\"v1\"").cut_at(500),
        _ => Answer::new(200, vec![2; 1_000]).header("etag", "\"v2\""),
    })
    .await;
    let stream = open(&server, "/files/a", Span::ALL).await.unwrap();
    let error = read(stream).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_url_may_have_no_length() {
    let object = object(100_000);
    let served = object.clone();
    let server = scripted(move |_, _| Answer::new(200, served.clone()).chunked()).await;
    let stream = open(&server, "/files/a", Span::ALL).await.unwrap();
    assert_eq!(stream.total, None);
    assert!(read(stream).await.unwrap() == object);
    let stream = open(&server, "/files/a", 10..20).await.unwrap();
    assert!(read(stream).await.unwrap() == object[10..20]);
}

#[tokio::test]
async fn only_admitted_urls_are_asked() {
    let server = scripted(|_, _| Answer::new(200, "x")).await;
    for path in ["/", "/other", "/files/../other", "/filesx"] {
        let error = open(&server, path, Span::ALL).await.unwrap_err();
        assert!(matches!(error, Error::UrlNotAdmitted { .. }), "{path}: {error:?}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn given_headers_stay_at_home_and_redirects_obey_the_policy() {
    let other = scripted(|_, seen| Answer::ranged(seen, b"there")).await;
    let to = other.url("/files/a");
    let server = scripted(move |_, _| Answer::redirect(to.clone())).await;
    let error = open(&server, "/files/a", Span::ALL).await.unwrap_err();
    assert!(matches!(error, Error::AddressDenied { .. }), "{error:?}");

    let config =
        RegistriesConfig { url_prefixes: vec![server.url("/"), other.url("/files")], ..hurried() };
    let registries = Registries::new(config).unwrap();
    let url: Url = server.url("/a").parse().unwrap();
    let headers = [("Cookie".to_owned(), "s".to_owned())];
    let stream = registries.open_url(&url, Span::ALL, &headers).await.unwrap();
    assert_eq!(read(stream).await.unwrap(), b"there");
    assert_eq!(server.seen().last().unwrap().header("cookie"), Some("s"));
    assert_eq!(other.seen()[0].header("cookie"), None);
}
