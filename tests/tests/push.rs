//! What is written to a registry: blobs, mounts, manifests; to a real one, over a bad line too.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use content::Digest;
use registry::{
    Caller, CredentialsConfig, Error, Reference, Registries, RegistriesConfig, RegistryConfig,
    Repository, Span,
};
use testbed::{Bed, DockerRegistry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A client of the registry `name`, which is at `address`, with `alice`'s password.
fn client(bed: &Bed, name: &str, address: SocketAddr) -> anyhow::Result<Registries> {
    let password = bed.path().join("password");
    std::fs::write(&password, "right")?;
    let mut registry = RegistryConfig::new(name);
    registry.endpoint = Some(format!("http://{address}").parse()?);
    registry.http = true;
    registry.allow_loopback = true;
    registry.credentials = Some(CredentialsConfig {
        username: Some("alice".to_owned()),
        password_file: Some(password),
        docker_config: None,
    });
    let config = RegistriesConfig { registry: vec![registry], ..RegistriesConfig::default() };
    Ok(Registries::new(config)?)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

async fn upload(
    to: &Registries,
    repository: &Repository,
    digest: &Digest,
    blob: &[u8],
) -> anyhow::Result<Result<(), Error>> {
    let mut file = tempfile::tempfile()?;
    file.write_all(blob)?;
    Ok(to.push_blob(repository, digest, &Arc::new(file), blob.len() as u64).await)
}

async fn download(
    from: &Registries,
    repository: &Repository,
    digest: &Digest,
) -> Result<Vec<u8>, Error> {
    let mut stream = from.open_blob(repository, digest, Span::ALL, &Caller::Own).await?;
    let mut blob = Vec::new();
    while let Some(bytes) = stream.next().await {
        blob.extend_from_slice(&bytes?);
    }
    Ok(blob)
}

async fn private(bed: &Bed) -> anyhow::Result<DockerRegistry> {
    bed.registry().user("alice", "right").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_and_manifests_are_there_afterwards() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = private(&bed).await?;
    let host = registry.host();
    let registries = client(&bed, &host, registry.address())?;
    let (a, b) = (Repository::new(&host, "team/a")?, Repository::new(&host, "team/b")?);
    for length in [0, 1, 20_000_000] {
        let blob = bytes(length);
        upload(&registries, &a, &Digest::of(&blob), &blob).await??;
        assert!(download(&registries, &a, &Digest::of(&blob)).await? == blob);
    }

    let layer = Digest::of(&bytes(20_000_000));
    assert!(registries.blob_head(&b, &layer, &Caller::Own).await.is_err());
    assert!(registries.mount_blob(&b, &layer, &a).await?);
    assert_eq!(registries.blob_head(&b, &layer, &Caller::Own).await?.length, 20_000_000);
    let nowhere = Digest::of(b"nobody has this");
    assert!(!registries.mount_blob(&b, &nowhere, &a).await?);

    let manifest = Bytes::from(
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                        "digest": Digest::of(&bytes(1)).to_string(), "size": 1 },
            "layers": [],
        })
        .to_string(),
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let tag = Reference::parse("v1")?;
    let digest = registries.put_manifest(&a, &tag, media_type, manifest.clone()).await?.digest;
    let other = Reference::Digest(nowhere);
    let refused = registries.put_manifest(&a, &other, media_type, manifest.clone()).await;
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
    let own = Reference::Digest(digest);
    registries.put_manifest(&a, &own, media_type, manifest).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_what_was_said_is_not_kept() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = private(&bed).await?;
    let host = registry.host();
    let registries = client(&bed, &host, registry.address())?;
    let repository = Repository::new(&host, "team/a")?;
    let said = Digest::of(b"something else");
    let refused = upload(&registries, &repository, &said, &bytes(1000)).await?;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert!(registries.blob_head(&repository, &said, &Caller::Own).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_told_so() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = bed.registry().user("bob", "else").start().await?;
    let registries = client(&bed, &registry.host(), registry.address())?;
    let repository = Repository::new(&registry.host(), "team/a")?;
    match upload(&registries, &repository, &Digest::of(b"x"), b"x").await? {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.status, 401),
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// A line to `to` that is cut once, after so many bytes of requests; then it holds.
async fn bad_line(to: SocketAddr, cut_after: u64) -> anyhow::Result<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (left, cuts) = (Arc::new(AtomicU64::new(cut_after)), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&cuts);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (left, cuts) = (Arc::clone(&left), Arc::clone(&counted));
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await?;
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
                    (near.into_split(), far.into_split());
                let back =
                    tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let count = near_in.read(&mut buffer).await?;
                    if count == 0 {
                        break;
                    }
                    far_out.write_all(&buffer[..count]).await?;
                    let before = left.fetch_sub(count as u64, Ordering::SeqCst);
                    if before <= count as u64 {
                        left.store(u64::MAX / 2, Ordering::SeqCst);
                        cuts.fetch_add(1, Ordering::SeqCst);
                        back.abort();
                        break;
                    }
                }
                anyhow::Ok(())
            });
        }
    });
    Ok((address, cuts))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_begins_anew_when_a_bad_line_cut_it() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let registry = private(&bed).await?;
    let host = registry.host();
    for cut_after in [100, 3_000_000, 12_000_000] {
        let (address, cuts) = bad_line(registry.address(), cut_after).await?;
        let registries = client(&bed, &host, address)?;
        let repository = Repository::new(&host, &format!("cut/{cut_after}"))?;
        let blob = bytes(20_000_000);
        upload(&registries, &repository, &Digest::of(&blob), &blob).await??;
        assert_eq!(cuts.load(Ordering::SeqCst), 1, "the line was cut");
        let straight = client(&bed, &host, registry.address())?;
        assert!(download(&straight, &repository, &Digest::of(&blob)).await? == blob);
    }
    Ok(())
}
