//! Blobs: ranges, cut connections, servers that are busy or that lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use content::Digest;
use registry::{Caller, Error, Registries, RegistriesConfig, RequestId, Span};

use crate::support::{Answer, Seen, Server, blob_path, client, hurried, object, read};

const ANONYMOUS: Caller = Caller::Client(None);

/// Opens and reads a span of the one object that the server has.
async fn pull(server: &Server, span: impl Into<Span>) -> Result<(u64, Vec<u8>), Error> {
    pull_with(&client([server.config()]), server, span).await
}

async fn pull_with(
    registries: &Registries,
    server: &Server,
    span: impl Into<Span>,
) -> Result<(u64, Vec<u8>), Error> {
    let digest = Digest::of(b"the blob");
    let repository = server.repository();
    let opened = registries.open_blob(&repository, &digest, span, &ANONYMOUS);
    let mut stream = opened.await?;
    let bytes = read(&mut stream).await?;
    assert!(stream.next().await.is_none(), "the end stays the end");
    Ok((stream.total, bytes))
}

/// A server that answers the n-th GET as told.
async fn scripted(answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static) -> Server {
    let n = AtomicUsize::new(0);
    Server::start(move |seen| answer(n.fetch_add(1, Ordering::SeqCst), seen)).await
}

#[tokio::test]
async fn a_blob_and_parts_of_it() {
    let object = object(300_000);
    let served = object.clone();
    let server = scripted(move |_, seen| Answer::ranged(seen, &served)).await;
    for (span, expected) in [
        (Span::ALL, 0..300_000),
        ((1..).into(), 1..300_000),
        ((299_999..).into(), 299_999..300_000),
        ((5..100_000).into(), 5..100_000),
        ((5..400_000).into(), 5..300_000),
    ] {
        let (total, bytes) = pull(&server, span).await.unwrap();
        assert_eq!(total, 300_000);
        assert!(bytes == object[expected], "{span:?}");
    }
    let ranges: Vec<_> =
        server.seen().iter().map(|s| s.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=1-"));
    assert_eq!(ranges[3].as_deref(), Some("bytes=5-99999"));
    assert_eq!(server.seen()[0].path, blob_path(&Digest::of(b"the blob")));
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let server = scripted(|_, seen| Answer::ranged(seen, &[])).await;
    assert_eq!(pull(&server, Span::ALL).await.unwrap(), (0, vec![]));
}

#[tokio::test]
async fn beyond_the_end_there_is_nothing() {
    let server = scripted(|_, seen| Answer::ranged(seen, &[1, 2, 3])).await;
    let error = pull(&server, 3..).await.unwrap_err();
    assert!(matches!(error, Error::OutOfRange { total: Some(3) }), "{error:?}");
    let error = pull(&server, 2..2).await.unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cut_connection_is_resumed_at_the_byte() {
    let object = object(300_000);
    let served = object.clone();
    let server = scripted(move |n, seen| match n {
        0 => Answer::ranged(seen, &served).cut_at(123_456),
        1 => Answer::ranged(seen, &served).cut_at(1),
        _ => Answer::ranged(seen, &served),
    })
    .await;
    let (_, bytes) = pull(&server, Span::ALL).await.unwrap();
    assert!(bytes == object);
    let starts: Vec<_> = server.seen().iter().map(Seen::range_start).collect();
    assert_eq!(starts, [None, Some(123_456), Some(123_457)]);
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_resumed() {
    let object = object(10_000);
    let served = object.clone();
    let server = scripted(move |n, seen| match n {
        0 => Answer::ranged(seen, &served).stall_at(4_000),
        _ => Answer::ranged(seen, &served),
    })
    .await;
    let config = RegistriesConfig {
        registry: vec![server.config()],
        read_timeout: Duration::from_millis(300),
        ..hurried()
    };
    let registries = Registries::new(config).unwrap();
    let (_, bytes) = pull_with(&registries, &server, Span::ALL).await.unwrap();
    assert!(bytes == object);
    assert_eq!(server.seen()[1].range_start(), Some(4_000));
}

#[tokio::test]
async fn progress_renews_patience_and_its_lack_ends_it() {
    let object = object(1_000);
    let served = object.clone();
    // Ten cuts with progress are more than the three attempts that are allowed without.
    let server = scripted(move |_, seen| {
        let answer = Answer::ranged(seen, &served);
        let left = 1_000 - seen.range_start().unwrap_or(0);
        if left > 100 { answer.cut_at(100) } else { answer }
    })
    .await;
    assert!(pull(&server, Span::ALL).await.unwrap().1 == object);

    let server = scripted(|n, seen| match n {
        0 => Answer::ranged(seen, &[7; 1_000]).cut_at(500),
        _ => Answer::ranged(seen, &[7; 1_000]).cut_at(0),
    })
    .await;
    let error = pull(&server, Span::ALL).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1 + 3);
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start() {
    let object = object(200_000);
    let served = object.clone();
    let server = scripted(move |n, _| {
        let answer = Answer::new(200, served.clone());
        if n == 0 { answer.cut_at(150_000) } else { answer }
    })
    .await;
    assert!(pull(&server, 100_001..).await.unwrap().1 == object[100_001..]);
    assert_eq!(server.seen()[1].range_start(), Some(150_000), "it is asked politely");
    assert!(pull(&server, 10..20).await.unwrap().1 == object[10..20]);
}

#[tokio::test]
async fn a_shorter_part_than_asked_is_followed_by_the_rest() {
    let object = object(1_000);
    let served = object.clone();
    let server = scripted(move |_, seen| {
        let start = seen.range_start().unwrap();
        let end = (start + 300).min(1_000);
        Answer::new(206, &served[start..end])
            .header("content-range", format!("bytes {start}-{}/1000", end - 1))
    })
    .await;
    assert!(pull(&server, 100..).await.unwrap().1 == object[100..]);
    let starts: Vec<_> = server.seen().iter().filter_map(Seen::range_start).collect();
    assert_eq!(starts, [100, 400, 700]);
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_an_error() {
    for range in ["bytes 9-98/100", "bytes 11-100/101", "nonsense", "bytes 10-98/100"] {
        let server =
            scripted(move |_, _| Answer::new(206, vec![0; 90]).header("content-range", range))
                .await;
        let error = pull(&server, 10..).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{range}: {error:?}");
        assert_eq!(server.seen().len(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn a_length_that_changes_is_an_error() {
    let server = scripted(|n, seen| match n {
        0 => Answer::ranged(seen, &[0; 1_000]).cut_at(100),
        _ => Answer::ranged(seen, &[0; 1_001]),
    })
    .await;
    let error = pull(&server, Span::ALL).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_longer_than_declared_is_an_error() {
    let part = "bytes 10-99/100";
    for body in [91, 5_000] {
        let server = scripted(move |_, _| {
            Answer::new(206, vec![0; body]).header("content-range", part).chunked()
        })
        .await;
        let error = pull(&server, 10..).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_by_head() {
    let object = object(100_000);
    let served = object.clone();
    let server = scripted(move |_, seen| {
        let answer = Answer::new(200, served.clone());
        if seen.method == "HEAD" { answer } else { answer.chunked() }
    })
    .await;
    let (total, bytes) = pull(&server, Span::ALL).await.unwrap();
    assert_eq!(total, 100_000);
    assert!(bytes == object);
    // And so is one that lies about it.
    let server = scripted(|_, seen| match seen.method.as_str() {
        "HEAD" => Answer::new(200, vec![0; 99]),
        _ => Answer::new(200, vec![0; 100]).chunked(),
    })
    .await;
    let error = pull(&server, Span::ALL).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_busy_registry_says_when_to_come_back() {
    let server = scripted(|n, seen| match n {
        0 => Answer::new(429, "slow down").header("retry-after", "1"),
        _ => Answer::ranged(seen, b"ok"),
    })
    .await;
    let started = Instant::now();
    assert_eq!(pull(&server, Span::ALL).await.unwrap().1, b"ok");
    assert!(started.elapsed() >= Duration::from_secs(1));

    let later = scripted(|_, _| Answer::new(429, "tomorrow").header("retry-after", "86400")).await;
    let started = Instant::now();
    let error = pull(&later, Span::ALL).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(refusal) if refusal.status == 429), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(later.seen().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_burst_of_trouble_passes() {
    let server = scripted(|n, seen| match n {
        0 => Answer::new(503, ""),
        1 => Answer::new(502, ""),
        2 => Answer::ranged(seen, &[5; 100]).cut_at(50),
        3 | 4 => Answer::new(500, ""),
        _ => Answer::ranged(seen, &[5; 100]),
    })
    .await;
    assert_eq!(pull(&server, Span::ALL).await.unwrap().1, [5; 100]);
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn trouble_that_stays_is_told() {
    let server = scripted(|_, _| Answer::new(503, "down")).await;
    let error = pull(&server, Span::ALL).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(refusal) if refusal.status == 503), "{error:?}");
    assert_eq!(server.seen().len(), 1 + 3);
    let missing = scripted(|_, _| Answer::new(404, "no such blob")).await;
    let error = pull(&missing, Span::ALL).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(r) if r.status == 404 && r.body == "no such blob"));
    assert_eq!(missing.seen().len(), 1, "it is not asked again");
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut config = registry::RegistryConfig::new(&host);
    config.http = true;
    let repository = registry::Repository::new(&host, "a").unwrap();
    let digest = Digest::of(b"x");
    let registries = client([config]);
    let error = registries.blob_head(&repository, &digest, &ANONYMOUS).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn head_tells_the_length() {
    let server = scripted(|_, _| Answer::new(200, vec![0; 77])).await;
    let registries = client([server.config()]);
    let digest = Digest::of(b"the blob");
    let info = registries.blob_head(&server.repository(), &digest, &ANONYMOUS).await;
    assert_eq!(info.unwrap().length, 77);
    assert_eq!(server.seen()[0].method, "HEAD");
}

#[tokio::test]
async fn storage_that_forbids_head_is_measured_by_its_first_byte() {
    let storage = Server::start(|seen| match seen.method.as_str() {
        "HEAD" => Answer::new(403, ""),
        _ => Answer::ranged(seen, &[0; 77]),
    })
    .await;
    let to = storage.url("/object");
    let server = scripted(move |_, _| Answer::redirect(to.clone())).await;
    let mut config = server.config();
    config.allow_loopback = true;
    let registries = client([config]);
    let digest = Digest::of(b"the blob");
    let info = registries.blob_head(&server.repository(), &digest, &ANONYMOUS).await;
    assert_eq!(info.unwrap().length, 77);
    assert_eq!(storage.seen()[1].header("range"), Some("bytes=0-0"));
    // The registry's own 403 is an answer.
    let server = scripted(|_, _| Answer::new(403, "")).await;
    let registries = client([server.config()]);
    let error = registries.blob_head(&server.repository(), &digest, &ANONYMOUS).await;
    assert!(matches!(error, Err(Error::Refused(r)) if r.status == 403));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn the_clients_request_id_is_told_at_home_and_when_a_body_goes_on() {
    let object = object(100_000);
    let served = object.clone();
    let storage = Server::start(move |seen| Answer::ranged(seen, &served)).await;
    let (served, to) = (object.clone(), storage.url("/object"));
    let server = scripted(move |n, seen| match n {
        0 => Answer::ranged(seen, &served).cut_at(40_000),
        1 => Answer::redirect(to.clone()),
        _ => Answer::new(500, ""),
    })
    .await;
    let mut config = server.config();
    config.allow_loopback = true;
    let (registries, repository) = (client([config]), server.repository());
    let digest = Digest::of(b"the blob");
    let opened = registries.open_blob(&repository, &digest, Span::ALL, &ANONYMOUS);
    let mut stream = RequestId::scope(RequestId::new("from-the-mirror"), opened).await.unwrap();
    // Read by another task, on whose behalf nobody asks.
    let bytes = tokio::spawn(async move { read(&mut stream).await }).await.unwrap().unwrap();
    assert!(bytes == object);
    for seen in &server.seen()[..2] {
        assert_eq!(seen.header("x-request-id"), Some("from-the-mirror"), "{}", seen.uri);
    }
    assert_eq!(storage.seen()[0].header("x-request-id"), None);
}
