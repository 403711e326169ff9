//! A read in a lazy mount overtakes pulls that are under way, at the registry too.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use content::Digest;
use http_body_util::BodyExt;
use testbed::{Fault, FaultyRegistry, Image};

use super::*;

const MIB: usize = 1 << 20;

const ORIGIN: &str = "meganeura_supernode_received_bytes_total{source=\"origin\"}";

/// A chunked image with one file of bytes that do not compress, and more blobs beside it.
fn chunked(bed: &Bed, bytes: &[u8], more: Vec<Bytes>) -> anyhow::Result<Image> {
    let (tree, layout) = (bed.path().join("tree"), bed.path().join("layout"));
    fs::create_dir(&tree)?;
    fs::write(tree.join("big"), bytes)?;
    let mut pack = Command::new(binary("image-builder")?);
    done(pack.arg("pack").arg(&tree).arg(format!("oci:{}:v1", layout.display())))?;
    Image::of_layout(&layout, more)
}

/// A pull by way of a node's mirror.
struct Pull {
    came: Arc<AtomicUsize>,
    running: tokio::task::JoinHandle<anyhow::Result<Instant>>,
}

impl Pull {
    fn begin(node: &Node, registry: &FaultyRegistry, blob: &Bytes) -> Self {
        let target = format!("/v2/app/blobs/{}?ns={}", Digest::of(blob), registry.host());
        let (mirror, blob) = (node.mirror(), blob.clone());
        let came = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&came);
        let running = tokio::spawn(async move {
            let get = http::Method::GET;
            let answer = testbed::web::open(mirror, get, &target, &[], Bytes::new()).await?;
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame?;
                let part = frame.data_ref().map_or(&[][..], |part| part);
                let at = counted.fetch_add(part.len(), Ordering::Relaxed);
                ensure!(blob.get(at..at + part.len()) == Some(part), "other bytes at {at}");
            }
            ensure!(counted.load(Ordering::Relaxed) == blob.len(), "it ended short");
            Ok(Instant::now())
        });
        Self { came, running }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    async fn until(&self, bytes: usize) {
        while self.came() < bytes && !self.running.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Reads a part of the file beneath the mount.
async fn read(mount: &Mounted, from: usize, length: usize) -> anyhow::Result<Vec<u8>> {
    let path = mount.at.join("big");
    let reading = tokio::task::spawn_blocking(move || {
        let mut part = vec![0; length];
        fs::File::open(path)?.read_exact_at(&mut part, from as u64)?;
        anyhow::Ok(part)
    });
    reading.await?
}

/// Node `puller` pulls a blob, near whose end a reader on node `reader` reads.
async fn overtakes(puller: &str, reader: &str) -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let bytes = testbed::image::random(24 * MIB);
    let image = chunked(&bed, &bytes, Vec::new())?;
    let data = image.layers().into_iter().max_by_key(Bytes::len).unwrap_or_default();
    let registry = FaultyRegistry::start(&image, Fault::None).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let nodes = [bed.node("n1", &supernode).await?, bed.node("n2", &supernode).await?];
    supernode.until_nodes(2).await?;
    let node = |name: &str| &nodes[usize::from(name != "n1")];
    let image = format!("{}/app:v1", registry.host());
    let mount = Mounted::of(&bed, node(reader), &image, &["--prefetch", "none"])?;
    registry.set(Fault::Slow(3 * MIB));
    let pull = Pull::begin(node(puller), &registry, &data);
    pull.until(MIB).await;
    let (began, from) = (Instant::now(), 21 * MIB);
    let part = read(&mount, from, 4096).await?;
    let (took, came) = (began.elapsed(), pull.came());
    ensure!(part == bytes[from..from + 4096], "other bytes");
    let left = pull.running.await??.duration_since(began);
    eprintln!("read in {took:?} while the pull had {came} bytes and took {left:?} more");
    ensure!(took < left / 4, "it took {took:?}, and the pull {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_overtakes_the_pull_of_its_own_blob() -> anyhow::Result<()> {
    if can_mount() {
        overtakes("n1", "n1").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_overtakes_the_pull_of_its_blob_by_another_node() -> anyhow::Result<()> {
    if can_mount() {
        overtakes("n1", "n2").await?;
    }
    Ok(())
}

/// So many blobs are pulled at once …
const PULLS: usize = 6;

/// … and of all that the registry sends meanwhile, a read gets this part at least. If it had its turn
/// like the others, it would get a seventh.
const PART: f64 = 1.0 / 3.0;

#[tokio::test(flavor = "multi_thread")]
async fn at_the_registry_a_read_overtakes_the_pulls_of_other_blobs() -> anyhow::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let bed = Bed::new()?;
    let bytes = testbed::image::random(6 * MIB);
    let others: Vec<_> = (0..PULLS).map(|_| testbed::image::random(10 * MIB)).collect();
    let image = chunked(&bed, &bytes, others.clone())?;
    let registry = FaultyRegistry::start(&image, Fault::Narrow(100 * MIB)).await?;
    let supernode = bed.supernode(&registry.site()).await?;
    let nodes = [bed.node("n1", &supernode).await?, bed.node("n2", &supernode).await?];
    supernode.until_nodes(2).await?;
    let image = format!("{}/app:v1", registry.host());
    let mount = Mounted::of(&bed, &nodes[1], &image, &["--prefetch", "none"])?;
    registry.set(Fault::Narrow(6 * MIB));
    let pulls: Vec<_> = others.iter().map(|blob| Pull::begin(&nodes[0], &registry, blob)).collect();
    for pull in &pulls {
        pull.until(MIB / 4).await;
    }
    let before = supernode.metric(ORIGIN).await?;
    let began = Instant::now();
    let read = read(&mount, 0, bytes.len()).await?;
    let took = began.elapsed();
    let sent = supernode.metric(ORIGIN).await? - before;
    ensure!(read == bytes, "other bytes");
    ensure!(pulls.iter().all(|pull| !pull.running.is_finished()), "nothing was to be overtaken");
    let part = bytes.len() as f64 / sent as f64;
    eprintln!("read in {took:?}: {part:.2} of what the registry sent meanwhile");
    ensure!(part >= PART, "it got {part:.2} of what the registry sent");
    for pull in pulls {
        pull.running.await??;
    }
    Ok(())
}
