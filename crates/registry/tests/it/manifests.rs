//! Manifests, lists, and refusals that are handed through.

use content::Digest;
use registry::{
    Caller, Credential, Error, ManifestAnswer, ManifestMethod, ManifestRequest, Page, Reference,
};

use crate::support::{Answer, Server, client};

const ANONYMOUS: Caller = Caller::Client(None);
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BODY: &str = r#"{"mediaType":"application/vnd.inside+json"}"#;

fn request(method: ManifestMethod) -> ManifestRequest {
    ManifestRequest { method, accept: Vec::new(), if_none_match: None }
}

async fn get(server: &Server, reference: &str) -> Result<ManifestAnswer, Error> {
    ask(server, reference, &request(ManifestMethod::Get)).await
}

async fn ask(
    server: &Server,
    reference: &str,
    request: &ManifestRequest,
) -> Result<ManifestAnswer, Error> {
    let reference = Reference::parse(reference).unwrap();
    let registries = client([server.config()]);
    let repository = server.repository();
    let answer = registries.manifest(&repository, &reference, request, &ANONYMOUS);
    answer.await
}

#[tokio::test]
async fn a_manifest_comes_with_what_the_client_needs() {
    let server = Server::start(|_| {
        Answer::new(200, BODY)
            .header("content-type", format!("{INDEX}; charset=utf-8"))
            .header("docker-content-digest", Digest::of(BODY.as_bytes()).to_string())
            .header("etag", "\"e\"")
            .header("ratelimit-remaining", "99;w=21600")
            .header("set-cookie", "no=business")
    })
    .await;
    for method in [ManifestMethod::Get, ManifestMethod::Head] {
        let answer = ask(&server, "latest", &request(method)).await.unwrap();
        assert_eq!(answer.digest, Digest::of(BODY.as_bytes()));
        assert_eq!((answer.status, answer.length), (200, BODY.len() as u64));
        assert_eq!(answer.media_type, INDEX);
        let names: Vec<_> = answer.headers.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["etag", "ratelimit-remaining"]);
        let has_body = answer.body.as_deref() == Some(BODY.as_bytes());
        assert_eq!(has_body, method == ManifestMethod::Get);
    }
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v2/team/app/manifests/latest");
    assert!(seen.header("accept").unwrap().contains(INDEX));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("user-agent").unwrap().starts_with("meganeura/"));
}

#[tokio::test]
async fn accept_and_conditions_are_the_clients() {
    let digest = Digest::of(BODY.as_bytes());
    let server =
        Server::start(move |_| Answer::new(304, "").header("etag", format!("\"{digest}\""))).await;
    let conditional = ManifestRequest {
        accept: vec!["a/b".into(), "c/d;q=0.5".into()],
        if_none_match: Some(format!("\"{digest}\"")),
        ..request(ManifestMethod::Get)
    };
    let answer = ask(&server, "latest", &conditional).await.unwrap();
    assert_eq!((answer.status, answer.digest, answer.body), (304, digest, None));
    let seen = &server.seen()[0];
    assert_eq!(seen.header("accept"), Some("a/b, c/d;q=0.5"));
    assert_eq!(seen.header("if-none-match"), conditional.if_none_match.as_deref());
}

#[tokio::test]
async fn not_modified_without_a_digest_is_asked_outright() {
    let server = Server::start(|seen| match seen.header("if-none-match") {
        Some(_) => Answer::new(304, ""),
        None => Answer::new(200, BODY),
    })
    .await;
    let conditional = ManifestRequest {
        if_none_match: Some("\"opaque\"".into()),
        ..request(ManifestMethod::Get)
    };
    let answer = ask(&server, "latest", &conditional).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.media_type, "application/vnd.inside+json");
}

#[tokio::test]
async fn a_head_that_tells_too_little_is_followed_by_a_get() {
    let server = Server::start(|_| Answer::new(200, BODY).header("content-type", INDEX)).await;
    let answer = ask(&server, "latest", &request(ManifestMethod::Head)).await.unwrap();
    assert_eq!(answer.digest, Digest::of(BODY.as_bytes()));
    assert_eq!(answer.body, None);
    let methods: Vec<_> = server.seen().into_iter().map(|s| s.method).collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[tokio::test]
async fn other_bytes_than_were_named_are_refused() {
    let other = Digest::of(b"other");
    let by_digest = Server::start(|_| Answer::new(200, BODY).header("content-type", INDEX)).await;
    let error = get(&by_digest, &other.to_string()).await.unwrap_err();
    let Error::DigestMismatch { expected, actual } = error else {
        panic!("{error:?}");
    };
    assert_eq!((expected, actual), (other, Digest::of(BODY.as_bytes())));

    let by_header = Server::start(move |_| {
        Answer::new(200, BODY)
            .header("content-type", INDEX)
            .header("docker-content-digest", other.to_string())
    })
    .await;
    let error = get(&by_header, "latest").await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error:?}");
    let asked = Digest::of(BODY.as_bytes()).to_string();
    let head = ask(&by_header, &asked, &request(ManifestMethod::Head)).await;
    assert!(matches!(head, Err(Error::DigestMismatch { .. })), "{head:?}");
}

#[tokio::test]
async fn a_manifest_has_a_largest_size() {
    let limit = 4 << 20;
    for (size, declared, fits) in
        [(limit, true, true), (limit + 1, true, false), (limit + 1, false, false)]
    {
        let server = Server::start(move |_| {
            let answer = Answer::new(200, vec![b' '; size]).header("content-type", INDEX);
            if declared { answer } else { answer.chunked() }
        })
        .await;
        let answer = get(&server, "latest").await;
        match answer {
            Ok(answer) => assert!(fits && answer.length == limit as u64),
            Err(error) => assert!(!fits && matches!(error, Error::TooLarge { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    let server = Server::start(|_| {
        Answer::new(200, BODY).header("content-type", INDEX).header("content-encoding", "gzip")
    })
    .await;
    let error = get(&server, "latest").await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1, "it is not asked again");
}

#[tokio::test]
async fn a_refusal_is_handed_through() {
    let server = Server::start(|_| {
        Answer::challenge("https://auth.example/token")
            .header("www-authenticate", "Basic realm=\"x\"")
            .header("content-type", "application/json")
            .header("ratelimit-limit", "100;w=21600")
            .header("retry-after", "7")
            .header("set-cookie", "no=business")
    })
    .await;
    let registries = client([server.config()]);
    let caller = Caller::Client(Some(Credential::new("Bearer the-clients").unwrap()));
    let reference = Reference::Tag("latest".into());
    let (repository, request) = (server.repository(), request(ManifestMethod::Get));
    let error = registries.manifest(&repository, &reference, &request, &caller);
    let Err(Error::Refused(refusal)) = error.await else {
        panic!("not refused");
    };
    assert_eq!(refusal.status, 401);
    assert_eq!(refusal.www_authenticate.len(), 2);
    assert!(refusal.www_authenticate[0].starts_with("Bearer realm=\"https://auth.example/token\""));
    assert_eq!(refusal.content_type.as_deref(), Some("application/json"));
    assert_eq!(&refusal.body[..], br#"{"errors":[{"code":"UNAUTHORIZED"}]}"#);
    let names: Vec<_> = refusal.headers.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["ratelimit-limit", "retry-after"]);
    assert_eq!(refusal.retry_after.map(|d| d.as_secs()), Some(7));
    assert_eq!(server.seen()[0].authorization(), Some("Bearer the-clients"));
}

#[tokio::test]
async fn a_refusal_has_a_largest_body() {
    for (size, kept) in [(64 * 1024, 64 * 1024), (64 * 1024 + 1, 0)] {
        let server = Server::start(move |_| Answer::new(404, vec![b'x'; size]).chunked()).await;
        let Err(Error::Refused(refusal)) = get(&server, "latest").await else {
            panic!("not refused");
        };
        assert_eq!((refusal.status, refusal.body.len()), (404, kept));
    }
}

#[tokio::test]
async fn lists_are_passed_through() {
    let server = Server::start(|_| {
        Answer::new(200, "{}")
            .header("content-type", "application/json")
            .header("link", "</v2/x>; rel=\"next\"")
            .header("oci-filters-applied", "artifactType")
    })
    .await;
    let registries = client([server.config()]);
    let digest = Digest::of(b"x");
    for (page, uri) in [
        (
            Page::Tags { n: Some(5), last: Some("v1&n=9".into()), more: String::new() },
            "/v2/team/app/tags/list?n=5&last=v1%26n%3D9".to_owned(),
        ),
        (
            Page::Tags { n: None, last: None, more: String::new() },
            "/v2/team/app/tags/list".to_owned(),
        ),
        (
            Page::Tags { n: None, last: None, more: "next=a%2Fb&x=".into() },
            "/v2/team/app/tags/list?next=a%2Fb&x=".to_owned(),
        ),
        (
            Page::Referrers { digest, artifact_type: Some("a/b".into()), more: "page=2".into() },
            format!("/v2/team/app/referrers/{digest}?artifactType=a%2Fb&page=2"),
        ),
    ] {
        let passed = registries.get_page(&server.repository(), &page, &ANONYMOUS).await.unwrap();
        assert_eq!((passed.status, &passed.body[..]), (200, &b"{}"[..]));
        assert_eq!(passed.headers.len(), 2);
        assert_eq!(server.seen().last().unwrap().uri, uri);
    }
}

#[tokio::test]
async fn what_is_not_admitted_is_not_asked() {
    let server = Server::start(|_| Answer::new(200, BODY)).await;
    let registries = client([]);
    assert!(!registries.admits(&server.host()));
    let (repository, request) = (server.repository(), request(ManifestMethod::Get));
    let reference = Reference::Tag("latest".into());
    let error = registries.manifest(&repository, &reference, &request, &ANONYMOUS).await;
    assert!(matches!(error, Err(Error::NotAdmitted { .. })));
    assert!(server.seen().is_empty());
}
