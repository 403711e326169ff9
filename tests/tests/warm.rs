//! Warm answers: what is here goes out straight from the store's files, and is right all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use content::Digest;
use http::Method;
use http_body_util::BodyExt;
use rustix::process::Signal;
use testbed::registry::basic;
use testbed::web::{self, Answer};
use testbed::{Bed, DockerRegistry, Image, Node, Supernode};

const FROM_FILES: &str = "meganeura_dfdaemon_mirror_from_files_bytes_total";

struct Rig {
    _bed: Bed,
    registry: DockerRegistry,
    _supernode: Supernode,
    node: Node,
    image: Image,
}

impl Rig {
    /// A node that has pulled the image.
    async fn warm(lengths: &[usize]) -> anyhow::Result<Self> {
        let bed = Bed::new()?;
        let registry = bed.registry().start().await?;
        let image = Image::random(lengths);
        registry.push("library/app", "v1", &image).await?;
        let supernode = bed.supernode(&registry.site()).await?;
        let node = bed.node("n1", &supernode).await?;
        node.pull(&registry.host(), "library/app", "v1").await?;
        Ok(Self { _bed: bed, registry, _supernode: supernode, node, image })
    }

    fn target(&self, layer: usize) -> String {
        let (digest, host) = (self.image.layer(layer), self.registry.host());
        format!("/v2/library/app/blobs/{digest}?ns={host}")
    }

    async fn layer(&self, layer: usize, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.node.get(&self.target(layer), headers).await
    }

    async fn sent_from_files(&self) -> anyhow::Result<u64> {
        self.node.metric(FROM_FILES).await
    }

    fn data_file(&self, digest: Digest) -> PathBuf {
        let hex = digest.to_string().trim_start_matches("sha256:").to_owned();
        let folder = self.node.dir().join("state/store/tasks").join(&hex[..2]);
        folder.join(format!("blob-{hex}.data"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_range_is_right_and_comes_from_the_file() -> anyhow::Result<()> {
    let rig = Rig::warm(&[20_000_001, 30_000, 1]).await?;
    let asked = rig.registry.requests().len();
    for (layer, expected) in rig.image.layers().into_iter().enumerate() {
        let (before, length) = (rig.sent_from_files().await?, expected.len());
        let all = rig.layer(layer, &[]).await?;
        assert_eq!(all.status, 200);
        assert!(all.complete && all.body == expected, "layer {layer}");
        let sent = rig.sent_from_files().await? - before;
        assert!(length < 20_000 || sent >= length as u64 - 4096, "{sent} of {length} from files");
        for (start, end) in [
            (0, 1),
            (0, length),
            (1, length),
            (length - 1, length),
            (4095, 4097),
            (1_048_575, 1_048_577),
            (123_457, 9_876_543),
            (4_194_304, 8_388_608),
            (16_000_000, 20_000_001),
        ] {
            if start >= end || end > length {
                continue;
            }
            let range = format!("bytes={start}-{}", end - 1);
            let part = rig.layer(layer, &[("range", &range)]).await?;
            assert_eq!(part.status, 206, "{range}");
            assert!(part.complete && part.body == expected.slice(start..end), "{range}");
            let told = format!("bytes {start}-{}/{length}", end - 1);
            assert_eq!(part.header("content-range"), Some(told.as_str()));
        }
    }
    let beyond = rig.layer(1, &[("range", "bytes=30000-")]).await?;
    assert_eq!(beyond.status, 416);
    let target = rig.target(0);
    let head = web::send(rig.node.mirror(), Method::HEAD, &target, &[], Bytes::new()).await?;
    assert_eq!(head.header("content-length"), Some("20000001"));
    assert!(head.body.is_empty());
    let tag = format!("\"{}\"", rig.image.layer(0));
    let same = rig.layer(0, &[("if-none-match", &tag)]).await?;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    assert_eq!(rig.registry.requests().len(), asked, "a warm answer asked the registry");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_manifest_asks_nobody_and_a_tag_always_asks() -> anyhow::Result<()> {
    let rig = Rig::warm(&[1000]).await?;
    let (digest, host) = (rig.image.digest(), rig.registry.host());
    let asked = rig.registry.requests().len();
    let by_digest = format!("/v2/library/app/manifests/{digest}?ns={host}");
    let get = rig.node.get(&by_digest, &[]).await?;
    assert_eq!(get.body, rig.image.manifest());
    assert_eq!(get.header("content-type"), Some(testbed::image::MANIFEST));
    assert_eq!(get.header("docker-content-digest"), Some(digest.to_string().as_str()));
    let head = web::send(rig.node.mirror(), Method::HEAD, &by_digest, &[], Bytes::new()).await?;
    let length = rig.image.manifest().len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert!(head.body.is_empty());
    assert_eq!(rig.registry.requests().len(), asked, "a warm manifest asked the registry");
    let by_tag = format!("/v2/library/app/manifests/v1?ns={host}");
    assert_eq!(rig.node.get(&by_tag, &[]).await?.body, rig.image.manifest());
    assert!(rig.registry.requests().len() > asked, "a tag was not asked of the registry");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_manifest_is_the_callers_own_and_for_a_short_time() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().user("alice", "right").start().await?;
    let image = Image::random(&[300_000]);
    registry.push("private/app", "v1", &image).await?;
    registry.push("private/other", "v1", &Image::random(&[10])).await?;
    let supernode = bed.supernode_with(&registry.site(), "access.readable = \"4s\"").await?;
    let node = bed.node("n1", &supernode).await?;
    let alice = basic("alice", "right");
    let headers = [("authorization", alice.as_str())];
    node.pull_as(&registry.host(), "private/app", "v1", &headers).await?;
    let (digest, host) = (image.digest(), registry.host());
    let target = format!("/v2/private/app/manifests/{digest}?ns={host}");
    let elsewhere = format!("/v2/private/other/manifests/{digest}?ns={host}");
    assert_eq!(node.get(&target, &headers).await?.status, 200);
    assert_eq!(node.get(&target, &[]).await?.status, 401, "without a credential");
    assert_eq!(node.get(&elsewhere, &headers).await?.status, 404, "of another repository");
    registry.revoke("alice")?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(node.get(&target, &headers).await?.status, 401, "after it was revoked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_damaged_while_the_node_was_down_are_not_sent() -> anyhow::Result<()> {
    let mut rig = Rig::warm(&[9_000_000]).await?;
    let digest = rig.image.layer(0);
    rig.node.kill()?;
    let file = rig.data_file(digest);
    let mut bytes = std::fs::read(&file)?;
    for at in [0, 5_000_000, 8_999_999] {
        bytes[at] ^= 1;
    }
    std::fs::write(&file, &bytes)?;
    rig.node.start().await?;
    // The first answer finds the damage and mends it, the second comes from the mended file.
    for _ in 0..2 {
        let answer = rig.layer(0, &[]).await?;
        assert!(answer.complete && answer.body == rig.image.layers()[0]);
    }
    assert!(std::fs::read(&file)? == rig.image.layers()[0], "the file was not mended");
    assert!(rig.sent_from_files().await? > 0, "the second answer was not a warm one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_from_a_file_before_it_was_verified_again() -> anyhow::Result<()> {
    let mut rig = Rig::warm(&[9_000_000]).await?;
    rig.node.kill()?;
    rig.node.start().await?;
    let answer = rig.layer(0, &[]).await?;
    assert!(answer.body == rig.image.layers()[0]);
    assert_eq!(rig.sent_from_files().await?, 0, "sent before it was verified in this run");
    let answer = rig.layer(0, &[]).await?;
    assert!(answer.body == rig.image.layers()[0]);
    assert!(rig.sent_from_files().await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_has_forgotten_is_read_from_the_disk() -> anyhow::Result<()> {
    let rig = Rig::warm(&[30_000_000]).await?;
    let file = rig.data_file(rig.image.layer(0));
    // The kernel forgets only what is on the disk already.
    let forget = "sync \"$0\" && dd if=\"$0\" iflag=nocache count=0 status=none";
    assert!(Command::new("sh").args(["-c", forget]).arg(&file).status()?.success());
    for range in ["bytes=3-", "bytes=0-10", "bytes=0-29999998"] {
        let part = rig.layer(0, &[("range", range)]).await?;
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').context("a range")?;
        let end = end.parse().map_or(30_000_000, |end: usize| end + 1);
        assert!(part.complete && part.body == rig.image.layers()[0].slice(start.parse()?..end));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_follow_each_other_on_one_connection() -> anyhow::Result<()> {
    let rig = Rig::warm(&[3_000_000, 50_000]).await?;
    let (digest, host) = (rig.image.digest(), rig.registry.host());
    let manifest = format!("/v2/library/app/manifests/{digest}?ns={host}");
    let layers = rig.image.layers();
    let mut questions = Vec::new();
    for _ in 0..8 {
        questions.push(("GET", rig.target(0), layers[0].clone()));
        questions.push(("HEAD", rig.target(1), Bytes::new()));
        questions.push(("GET", manifest.clone(), rig.image.manifest().clone()));
        questions.push(("GET", rig.target(1), layers[1].clone()));
    }
    let address = rig.node.mirror();
    tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // All at once: the server reads them from one buffer.
        for (method, target, _) in &questions {
            write!(stream, "{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n")?;
        }
        let mut head = Vec::new();
        for (number, (_, _, body)) in questions.iter().enumerate() {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head);
            assert!(text.starts_with("HTTP/1.1 200"), "answer {number}: {text}");
            let mut came = vec![0; body.len()];
            stream.read_exact(&mut came)?;
            assert!(came == *body, "answer {number}");
        }
        Ok(())
    })
    .await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut rig = Rig::warm(&[100_000_000]).await?;
    for _ in 0..20 {
        let target = rig.target(0);
        let mut response =
            web::open(rig.node.mirror(), Method::GET, &target, &[], Bytes::new()).await?;
        assert!(response.body_mut().frame().await.is_some_and(|frame| frame.is_ok()));
    }
    let id = rig.node.process().context("it runs")?.id();
    let name = rig.data_file(rig.image.layer(0));
    let uses = || -> anyhow::Result<usize> {
        let open = std::fs::read_dir(format!("/proc/{id}/fd"))?
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|path| *path == name);
        let maps = std::fs::read_to_string(format!("/proc/{id}/maps"))?;
        let mapped = maps.lines().filter(|line| line.contains(&name.display().to_string()));
        Ok(open.count() + mapped.count())
    };
    for _ in 0..400 {
        if uses()? == 0 {
            let answer = rig.layer(0, &[]).await?;
            assert!(answer.body == rig.image.layers()[0]);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("the file is still in use for clients that are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_answer_that_is_under_way() -> anyhow::Result<()> {
    let mut rig = Rig::warm(&[100_000_000]).await?;
    let (mirror, target) = (rig.node.mirror(), rig.target(0));
    let mut response = web::open(mirror, Method::GET, &target, &[], Bytes::new()).await?;
    let first = response.body_mut().frame().await.context("a body")??;
    let mut came = first.into_data().unwrap_or_default().to_vec();
    let process = rig.node.process().context("it runs")?;
    process.signal(Signal::TERM)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(TcpStream::connect(mirror).is_err(), "it still takes clients");
    while let Some(frame) = response.body_mut().frame().await {
        came.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    assert!(came == rig.image.layers()[0]);
    drop(response);
    for _ in 0..400 {
        if !rig.node.process().is_some_and(testbed::process::Process::is_running) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    anyhow::bail!("it does not stop")
}
