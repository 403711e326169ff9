//! `dfget`: one file by URL.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use content::Digest;
use testbed::process::binary;
use testbed::{Bed, Fault, FaultyRegistry, Image, Node};

fn dfget(args: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(binary("dfget")?).args(args).output()?)
}

fn through(node: &Node, url: &str, file: &Path, more: &[&str]) -> anyhow::Result<Output> {
    let socket = node.dir().join("dfdaemon.sock");
    let mut args = vec![url, "-o", text(file)?, "--socket", text(&socket)?, "--json"];
    args.extend(more);
    dfget(&args)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().ok_or_else(|| anyhow::anyhow!("a path"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_through_the_swarm_once() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[5_000_000]);
    let server = FaultyRegistry::start(&image, Fault::None).await?;
    let url = format!("http://{}/v2/files/blobs/{}", server.host(), image.layer(0));
    let admitted = format!("registries.url_prefixes = [\"http://{}/v2/files\"]", server.host());
    let supernode = bed.supernode_with(&server.site(), &admitted).await?;
    for name in ["n1", "n2"] {
        let node = bed.node(name, &supernode).await?;
        let file = bed.path().join(name).join("file");
        let digest = image.layer(0).to_string();
        let (url, dir) = (url.clone(), file.clone());
        let out = tokio::task::spawn_blocking(move || {
            through(&node, &url, &dir, &["--digest", &digest]).map(|out| (out, node))
        })
        .await??
        .0;
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(Digest::of(&std::fs::read(&file)?), image.layer(0));
        let told = String::from_utf8(out.stdout)?;
        assert!(told.contains("\"way\":\"swarm\""), "{told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_it_helps_itself_and_says_how_it_ended() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[3_000_000]);
    let server = FaultyRegistry::start(&image, Fault::None).await?;
    let url = format!("http://{}/v2/files/blobs/{}", server.host(), image.layer(0));
    let file = bed.path().join("file");
    let nobody = bed.path().join("nobody.sock");
    let (name, socket) = (text(&file)?.to_owned(), text(&nobody)?.to_owned());
    let run = move |url: String, more: Vec<String>| {
        let (name, socket) = (name.clone(), socket.clone());
        tokio::task::spawn_blocking(move || {
            let mut args = vec![url.as_str(), "-o", &name, "--socket", &socket, "--json"];
            args.extend(more.iter().map(String::as_str));
            dfget(&args)
        })
    };
    let right = format!("--digest={}", image.layer(0));
    let wrong = format!("--digest={}", Digest::of(b"other"));
    let got = run(url.clone(), vec![wrong]).await??;
    assert_eq!(got.status.code(), Some(3), "{}", String::from_utf8_lossy(&got.stderr));
    assert!(!file.exists());
    let got = run(url.clone(), vec!["--no-fallback".into()]).await??;
    assert_eq!(got.status.code(), Some(6));
    let got = run(format!("{url}0"), vec![]).await??;
    assert_eq!(got.status.code(), Some(4), "{}", String::from_utf8_lossy(&got.stderr));
    let got = run(url.clone(), vec![right]).await??;
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    assert_eq!(Digest::of(&std::fs::read(&file)?), image.layer(0));
    let got = run(url.clone(), vec![]).await??;
    assert_eq!(got.status.code(), Some(2), "a file that is there is not replaced unasked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_download_goes_on_where_it_stopped() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[8 << 20]);
    let server = FaultyRegistry::start(&image, Fault::Slow(2 << 20)).await?;
    let supernode = bed.supernode(&server.site()).await?;
    let node = bed.node("n1", &supernode).await?;
    let source = format!("oci://{}/files@{}", server.host(), image.layer(0));
    let file = bed.path().join("file");
    let socket = node.dir().join("dfdaemon.sock");
    let mut child = Command::new(binary("dfget")?)
        .args([&source, "-o", text(&file)?, "--socket", text(&socket)?])
        .spawn()?;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    child.kill()?;
    child.wait()?;
    assert!(!file.exists());
    let part = bed.path().join(".file.dfget");
    let before = std::fs::metadata(&part)?.len();
    assert!(before > 0 && before < 8 << 20, "{before}");
    server.set(Fault::None);
    let out = {
        let (source, file) = (source.clone(), file.clone());
        tokio::task::spawn_blocking(move || {
            through(&node, &source, &file, &[]).map(|out| (out, node))
        })
        .await??
        .0
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(Digest::of(&std::fs::read(&file)?), image.layer(0));
    assert!(!part.exists());
    Ok(())
}
