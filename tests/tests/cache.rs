//! What a node keeps, for how long, and what its operator can do about it.

mod keep;

use std::time::Duration;

use anyhow::Context;
use keep::{cache, cache_json, flip, stop, tasks};
use testbed::{Bed, Fault, FaultyRegistry, Image, Node};
use tokio::io::AsyncWriteExt;

const MIB: usize = 1 << 20;

/// Runs the body once with the daemon and once without.
async fn with_and_without(
    node: &mut Node,
    mut body: impl AsyncFnMut(&Node, bool) -> anyhow::Result<()>,
    host: &str,
) -> anyhow::Result<()> {
    for running in [true, false] {
        if running {
            node.pull(host, "app", "v1").await?;
        } else {
            node.pull(host, "app", "v1").await?;
            stop(node).await?;
        }
        body(node, running).await?;
    }
    node.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_does_what_it_says_with_a_daemon_and_without() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[3 * MIB, 200_000]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node("n1", &supernode).await?;
    let (large, small) = (image.layer(0).to_string(), image.layer(1).to_string());
    let short = large["sha256:".len()..][..12].to_owned();
    let body = async |node: &Node, running: bool| {
        // All that was pulled is listed: two layers and the configuration.
        let listing = cache_json(node, &["ls"]).await?;
        assert_eq!(tasks(&listing).len(), 3, "running: {running}; {listing}");
        let entry = listing["tasks"]
            .as_array()
            .and_then(|tasks| tasks.iter().find(|entry| entry["task"] == large.as_str()).cloned());
        let entry = entry.expect("the layer is listed");
        assert_eq!(entry["kind"], "blob");
        assert_eq!((&entry["length"], &entry["present"]), (&(3 * MIB).into(), &(3 * MIB).into()));
        assert_eq!((&entry["complete"], &entry["pinned"]), (&true.into(), &false.into()));
        assert!(entry["last_use"].as_u64().is_some_and(|used| used > 1_700_000_000));
        let shown = cache(node, &["ls"]).await?;
        assert!(shown.success && shown.out.contains(&short) && shown.out.contains("complete"));

        // A pinned task stays, whatever goes; a short name stands for it.
        assert!(cache(node, &["pin", &short]).await?.success);
        let collected = cache_json(node, &["gc", "--to", "0"]).await?;
        assert_eq!(collected["tasks"], 2, "{collected}");
        assert_eq!(tasks(&cache_json(node, &["ls"]).await?), std::slice::from_ref(&large));
        let refused = cache(node, &["rm", &large]).await?;
        assert!(!refused.success && refused.err.contains("pinned"), "{refused:?}");

        // Nothing damaged; a name that stands for nothing is an error.
        let verified = cache(node, &["verify"]).await?;
        assert!(verified.success && verified.out.contains("1 tasks verified"), "{verified:?}");
        let unknown = cache(node, &["rm", &small]).await?;
        assert!(!unknown.success && unknown.err.contains("nothing of that name"), "{unknown:?}");

        assert!(cache(node, &["unpin", &large]).await?.success);
        let removed = cache_json(node, &["rm", &large]).await?;
        assert_eq!(removed["tasks"][0], large.as_str());
        assert_eq!(removed["bytes"], 3 * MIB);
        assert!(tasks(&cache_json(node, &["ls"]).await?).is_empty());
        anyhow::Ok(())
    };
    let host = registry.host();
    with_and_without(&mut node, body, &host).await?;
    // And what was removed comes again.
    assert!(node.pull(&host, "app", "v1").await? == image.layers());
    let all = cache_json(&node, &["rm", "--all"]).await?;
    assert_eq!(all["tasks"].as_array().map(Vec::len), Some(3), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_teaches_and_wrong_usage_is_told() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[1000]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node("n1", &supernode).await?;
    let help = cache(&node, &["--help"]).await?;
    for taught in ["ls", "rm", "gc", "pin", "unpin", "verify", "Examples", "Exit codes", "--json"] {
        assert!(help.out.contains(taught), "{taught}: {}", help.out);
    }
    assert_eq!(cache(&node, &["rm"]).await?.code, Some(2));
    assert_eq!(cache(&node, &["gc", "--to", "much"]).await?.code, Some(2));

    // A second daemon on this host is told what it needs.
    let mut second = node.command(&[])?;
    second.env("MEGANEURA_ADMIN__LISTEN", "127.0.0.1:0");
    second.env("MEGANEURA_MIRROR__LISTEN", "127.0.0.1:0");
    second.env("MEGANEURA_PEERS__LISTEN", "127.0.0.1:0");
    second.env("MEGANEURA_STATE_DIR", bed.path().join("second"));
    let out = tokio::task::spawn_blocking(move || second.output()).await??;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && told.contains("its own local.socket"), "{told}");

    // A store that another process has open is not opened, whatever the socket says.
    let mut other = node.command(&["cache", "ls"])?;
    other.env("MEGANEURA_LOCAL__SOCKET", bed.path().join("nobody.sock"));
    let out = tokio::task::spawn_blocking(move || other.output()).await??;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && told.contains("is open already"), "{told}");

    // The join string is a secret.
    let mut print = node.command(&["--print-config"])?;
    let out = tokio::task::spawn_blocking(move || print.output()).await??;
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(printed.contains("join = \"<set>\""), "{printed}");
    assert!(!printed.contains(supernode.join()));
    stop(&mut node).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_flipped_while_down_are_found_by_verify_and_by_the_first_use() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[5 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node_with("n1", &supernode, "store.upkeep_every = \"1s\"").await?;
    let (host, layer) = (registry.host(), image.layer(0));
    node.pull(&host, "app", "v1").await?;
    for by_verify in [true, false] {
        stop(&mut node).await?;
        flip(node.dir(), layer, 3 * MIB as u64 + 7)?;
        if by_verify {
            let found = cache(&node, &["verify"]).await?;
            assert_eq!(found.code, Some(1), "{found:?}");
            assert!(found.out.contains("1 damaged pieces"), "{found:?}");
            let again = cache(&node, &["verify"]).await?;
            assert!(again.success, "it was dropped: {again:?}");
        }
        node.start().await?;
        supernode.until_nodes(1).await?;
        assert!(node.pull(&host, "app", "v1").await? == image.layers());
        // Fetched again: just the one piece.
        let fetched = node.received("supernode").await? + node.received("origin").await?;
        assert!(fetched > 0 && fetched <= 64 * 1024, "by_verify: {by_verify}; {fetched} bytes");
        assert!(cache(&node, &["verify"]).await?.success);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_lost_comes_back_as_it_was_or_not_at_all() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[24 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    // Without a supernode nothing is signed: the whole's SHA-256 was all the proof.
    supernode.kill()?;
    let options = "store.upkeep_every = \"500ms\"\nstore.scrub_every = \"1s\"";
    let node = bed.node_with("n1", &supernode, options).await?;
    let (host, layer) = (registry.host(), image.layer(0));
    node.pull(&host, "app", "v1").await?;
    // A client that does not read on keeps the task at hand, as the whole that it was.
    let mut client = tokio::net::TcpStream::connect(node.mirror()).await?;
    let ask = format!("GET /v2/app/blobs/{layer}?ns={host} HTTP/1.1\r\nhost: mirror\r\n\r\n");
    client.write_all(ask.as_bytes()).await?;
    flip(node.dir(), layer, 24 * MIB as u64 - 5)?;
    for _ in 0..100 {
        if node.metric("meganeura_dfdaemon_store_corrupt_pieces_total").await? > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The origin lies about the last byte now.
    registry.set(Fault::FlippedBit);
    let lied = node.blob(&host, "app", layer).await?;
    assert!(!(lied.status == 200 && lied.complete), "wrong bytes were given out as complete");
    registry.set(Fault::None);
    let right = node.blob(&host, "app", layer).await?;
    assert!(right.complete && right.body == image.layers()[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scrub_finds_what_the_disk_lost_while_it_is_trusted() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[2 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let options = "store.upkeep_every = \"500ms\"\nstore.scrub_every = \"1s\"";
    let node = bed.node_with("n1", &supernode, options).await?;
    let host = registry.host();
    node.pull(&host, "app", "v1").await?;
    flip(node.dir(), image.layer(0), MIB as u64)?;
    for _ in 0..100 {
        if node.metric("meganeura_dfdaemon_store_corrupt_pieces_total").await? > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let listing = cache_json(&node, &["ls"]).await?;
    let held = listing["bytes"].as_u64().unwrap_or_default();
    assert!(held < 2 * MIB as u64, "nothing was dropped: {listing}");
    assert!(node.pull(&host, "app", "v1").await? == image.layers());
    assert!(cache(&node, &["verify"]).await?.success);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_in_the_middle_serves_nothing_unverified_and_goes_on() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[24 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::Slow(6 * MIB)).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node("n1", &supernode).await?;
    let (host, layer) = (registry.host(), image.layer(0));
    let id = node.process().map(|process| process.id());
    let killed = async {
        // Something is kept, and not all of it.
        while node.received("supernode").await? < 4 * MIB as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        id.map_or(Ok(()), kill_hard)
    };
    let (pulled, killed) = tokio::join!(node.blob(&host, "app", layer), killed);
    killed?;
    assert!(!pulled.is_ok_and(|answer| answer.complete), "it was whole before the kill");
    node.kill()?;
    let listing = cache_json(&node, &["ls"]).await?;
    let kept = listing["bytes"].as_u64().unwrap_or_default();
    assert!(kept > 0 && kept < 24 * MIB as u64, "{listing}");
    assert_eq!(listing["tasks"][0]["complete"], false);
    assert!(cache(&node, &["verify"]).await?.success, "what was kept is right");
    registry.set(Fault::None);
    node.start().await?;
    supernode.until_nodes(1).await?;
    assert!(node.pull(&host, "app", "v1").await? == image.layers());
    let fetched = node.received("supernode").await? + node.received("origin").await?;
    let size = 24 * MIB as u64 + 4096; // the configuration too
    assert!(fetched + kept <= size, "{kept} bytes were kept, and {fetched} fetched again");
    Ok(())
}

fn kill_hard(id: u32) -> anyhow::Result<()> {
    let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("a process id")?;
    Ok(rustix::process::kill_process(id, rustix::process::Signal::KILL)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_in_vain_stops_soon() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let image = Image::random(&[24 * MIB]);
    let registry = FaultyRegistry::start(&image, Fault::Slow(2 * MIB)).await?;
    let mut supernode = bed.supernode(&registry.site()).await?;
    let mut node = bed.node("n1", &supernode).await?;
    let (host, layer) = (registry.host(), image.layer(0));
    let stopped = async {
        while node.received("supernode").await? < MIB as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        supernode.process().context("it runs")?.freeze()
    };
    let (_, stopped) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(3), node.blob(&host, "app", layer)),
        stopped
    );
    stopped?;
    let mirror = node.mirror();
    let target = format!("/v2/app/blobs/{layer}?ns={host}");
    let waiting = tokio::spawn(async move { testbed::web::get(mirror, &target, &[]).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = std::time::Instant::now();
    stop(&mut node).await?;
    assert!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
    let answer = waiting.await??;
    assert!(answer.status != 200 || !answer.complete);
    Ok(())
}
