//! Requests as they come, and as nobody should send them.

use super::*;

fn read(method: &str, uri: &str, body: &str) -> Result<Asked, Refused> {
    let (path, query) = uri.split_once('?').map_or((uri, None), |(p, q)| (p, Some(q)));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Asked::read(&method, path, query, body.as_bytes())
}

fn refused(method: &str, uri: &str, body: &str) -> u16 {
    read(method, uri, body).unwrap_err().status().as_u16()
}

#[test]
fn what_the_snapshotter_asks() {
    let id = || Some("/7".to_owned());
    let mount = r#"{"fs_type":"rafs","source":"/s/7/fs/image/image.boot","config":"{}"}"#;
    let asked = read("POST", "/api/v1/mount?mountpoint=%2F7", mount).unwrap();
    let bootstrap = "/s/7/fs/image/image.boot".into();
    let (config, prefetch_files) = ("{}".to_owned(), Vec::new());
    let expected = MountAsked { id: "/7".to_owned(), bootstrap, config, prefetch_files };
    assert_eq!(asked, Asked::Mount(expected));
    for (method, uri, body, expected) in [
        ("GET", "/api/v1/daemon", "", Asked::Daemon),
        ("PUT", "/api/v1/daemon", r#"{"log_level":"debug"}"#, Asked::Level("debug".to_owned())),
        ("PUT", "/api/v1/daemon/start", "", Asked::Start),
        ("PUT", "/api/v1/daemon/exit", "", Asked::Exit),
        ("PUT", "/api/v1/daemon/fuse/sendfd", "", Asked::SendFd),
        ("PUT", "/api/v1/daemon/fuse/takeover", "", Asked::TakeOver),
        ("DELETE", "/api/v1/mount?mountpoint=%2F7", "", Asked::Umount("/7".to_owned())),
        ("GET", "/api/v1/metrics", "", Asked::Metrics(Numbers::Reads, None)),
        ("GET", "/api/v1/metrics?id=%2F7", "", Asked::Metrics(Numbers::Reads, id())),
        ("GET", "/api/v1/metrics/blobcache?id=/7", "", Asked::Metrics(Numbers::Cache, id())),
        ("GET", "/api/v1/metrics/inflight", "", Asked::Inflight),
        ("GET", "/api/v1/metrics/files?id=/7", "", Asked::Metrics(Numbers::Files, id())),
        (
            "GET",
            "/api/v1/metrics/files?id=/7&latest=true",
            "",
            Asked::Metrics(Numbers::Latest, id()),
        ),
        ("GET", "/api/v1/metrics/pattern?id=/7", "", Asked::Metrics(Numbers::Pattern, id())),
        ("GET", "/api/v1/daemon/events", "", Asked::Events),
    ] {
        assert_eq!(read(method, uri, body).unwrap(), expected, "{method} {uri}");
    }
}

#[test]
fn what_is_to_be_fetched_first_is_a_list_or_nothing() {
    let asked = |list: &str| {
        let body = format!(r#"{{"source":"/b","config":"{{}}","prefetch_files":{list}}}"#);
        match read("POST", "/api/v1/mount?mountpoint=/7", &body) {
            Ok(Asked::Mount(asked)) => Ok(asked.prefetch_files),
            Ok(other) => panic!("{other:?}"),
            Err(refused) => Err(refused.status().as_u16()),
        }
    };
    assert_eq!(asked(r#"["/a","../b",""]"#), Ok(["/a", "../b", ""].map(str::to_owned).to_vec()));
    assert_eq!((asked("null"), asked("[]")), (Ok(Vec::new()), Ok(Vec::new())));
    for none in ["7", "\"/a\"", "[7]", "[null]", "{}", "[\"\u{0}\"]"] {
        assert_eq!(asked(none), Err(400), "{none}");
    }
}

#[test]
fn new_credentials_are_taken_and_the_rest_is_told() {
    let body = r#"{"registry_auth":"dTpw","proxy_url":"http://p"}"#;
    let Ok(Asked::Renew(None, renewal)) = read("PUT", "/api/v1/config", body) else {
        panic!("not understood");
    };
    assert_eq!(renewal.auth, Some(Auth::basic("dTpw".to_owned()).unwrap()));
    assert_eq!(renewal.ignored, ["proxy_url"]);
    assert_eq!(refused("PUT", "/api/v1/config", r#"{"registry_auth":7}"#), 400);
    assert_eq!(refused("PUT", "/api/v1/config", r#"{"registry_auth":"?"}"#), 400);
}

#[test]
fn any_request_is_read_or_refused() {
    const PATHS: [&str; 6] = [
        "/api/v1/mount",
        "/api/v1/config",
        "/api/v1/daemon",
        "/api/v1/metrics",
        "/api/v1/daemon/backend",
        "/api/v2/blobs",
    ];
    bolero::check!().with_type::<(u8, u8, String, Vec<u8>)>().for_each(
        |(method, path, query, body)| {
            let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE];
            let method = &methods[usize::from(*method) % methods.len()];
            let path = PATHS[usize::from(*path) % PATHS.len()];
            if let Err(refused) = Asked::read(method, path, Some(query), body) {
                let status = refused.status().as_u16();
                assert!([400, 404, 501].contains(&status), "{status}");
                assert!(refused.told()["message"].is_string());
            }
        },
    );
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(refused("GET", "/", ""), 404);
    assert_eq!(refused("GET", "/api/v1/metrics/other", ""), 404);
    assert_eq!(refused("PUT", "/api/v1/daemon/backend", "{}"), 400);
    for path in PATHS {
        assert_eq!(refused("PATCH", path, ""), 400, "{path} is answered, to others");
    }
    assert_eq!(refused("GET", "/api/v1/daemon/backend", ""), 400);
    assert_eq!(refused("DELETE", "/api/v1/mount", ""), 400);
    assert_eq!(refused("POST", "/api/v1/mount", "{}"), 400, "without a mountpoint");
    assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", "{}"), 400);
    assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", "\u{0}"), 400);
    let passthrough = r#"{"fs_type":"passthrough_fs","source":"/","config":""}"#;
    assert_eq!(refused("POST", "/api/v1/mount?mountpoint=/x", passthrough), 501);
    assert_eq!(refused("PUT", "/api/v2/blobs", "{}"), 501);
    let message = read("PUT", "/api/v1/config", r#"{"registry_auth":"s3cret"#).unwrap_err();
    assert!(!message.to_string().contains("s3cret"));
}
