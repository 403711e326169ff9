//! An image in a registry.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use content::Digest;
use registry::{
    BlobInfo, BlobStream, Caller, Credential, CredentialsConfig, Error, ManifestMethod,
    ManifestRequest, Reference, Registries, RegistriesConfig, RegistryConfig, Repository, Span,
};
use tokio::sync::mpsc;

use super::error::StoreError;
use super::referrer::Referrer;
use super::{Access, BlobReader, Document, NewBlob, Store};
use crate::oci::media_type;
use crate::place::Place;

/// So many parts of a blob may wait to be read; each is at most some hundred kilobytes.
const AHEAD: usize = 4;

/// The threads that talk with the network.
#[derive(Debug)]
pub struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    pub(crate) fn new() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).thread_name("network").enable_all().build().map(|r| Self(Some(r)))
    }

    fn get(&self) -> Option<&tokio::runtime::Runtime> {
        self.0.as_ref()
    }
}

/// Nobody waits for the network when nothing is wanted of it any more.
impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An image in a registry.
#[derive(Debug)]
pub struct Registry {
    place: Place,
    repository: Repository,
    reference: Reference,
    registries: Registries,
    runtime: Arc<Runtime>,
}

impl Registry {
    pub(crate) fn new(
        place: &Place,
        access: &Access,
        runtime: Arc<Runtime>,
    ) -> Result<Self, StoreError> {
        let Place::Registry { repository, reference } = place else {
            return Err(StoreError::Empty(place.to_string()));
        };
        let host = repository.registry();
        let site = RegistryConfig {
            http: access.plain_http || is_here(host),
            ca: access.ca.clone(),
            // Whoever runs this program may go wherever the program does.
            allow_private: true,
            allow_loopback: true,
            credentials: access.docker_config().map(|file| CredentialsConfig {
                docker_config: Some(file),
                ..CredentialsConfig::default()
            }),
            ..RegistryConfig::new(host)
        };
        let config = RegistriesConfig { registry: vec![site], ..RegistriesConfig::default() };
        Ok(Self {
            place: place.clone(),
            repository: repository.clone(),
            reference: reference.clone(),
            registries: Registries::new(config)?,
            runtime,
        })
    }

    /// Waits for the network.
    fn wait<T>(&self, what: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let runtime =
            self.runtime.get().ok_or_else(|| StoreError::Empty(self.place.to_string()))?;
        runtime.block_on(what).map_err(|error| self.failed(error))
    }

    /// The same, and not beyond `until`.
    fn wait_until<T>(
        &self,
        until: Instant,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        let in_time = self.wait(async {
            match tokio::time::timeout_at(until.into(), what).await {
                Ok(done) => done.map(Some),
                Err(_) => Ok(None),
            }
        })?;
        let late = || Error::Timeout {
            host: self.repository.registry().to_owned(),
            during: "somebody waits for it",
        };
        in_time.ok_or_else(|| self.failed(late()))
    }

    /// The same, if there is such an end.
    fn wait_if_until<T>(
        &self,
        until: Option<Instant>,
        what: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match until {
            Some(until) => self.wait_until(until, what),
            None => self.wait(what),
        }
    }

    fn failed(&self, error: Error) -> StoreError {
        StoreError::Registry { place: self.place.to_string(), error }
    }

    fn get(&self, reference: &Reference) -> Result<Document, StoreError> {
        let request = ManifestRequest {
            method: ManifestMethod::Get,
            accept: Vec::new(),
            if_none_match: None,
        };
        let asked = self.registries.manifest(&self.repository, reference, &request, &Caller::Own);
        let answer = self.wait(asked)?;
        Document::new(answer.body.unwrap_or_default(), Some(&answer.media_type))
            .map_err(|error| StoreError::Document { what: self.place.to_string(), error })
    }

    fn put(&self, reference: &Reference, kind: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let put = self.registries.put_manifest(&self.repository, reference, kind, bytes.clone());
        let put = self.wait(put)?;
        match Referrer::of(kind, bytes) {
            Some(referrer) if !put.subject => self.list(&referrer),
            _ => Ok(()),
        }
    }

    /// Lists a referrer for a registry that does not do so itself.
    fn list(&self, referrer: &Referrer) -> Result<(), StoreError> {
        let tag = Reference::parse(&referrer.tag())
            .map_err(|_| StoreError::NoTag(self.place.to_string()))?;
        let there = match self.get(&tag) {
            Ok(document) => Some(document),
            Err(error) if error.is_missing() => None,
            Err(error) => return Err(error),
        };
        let Some(index) = referrer.listed(there.as_ref()) else { return Ok(()) };
        self.put(&tag, media_type::OCI_INDEX, &index)
    }
}

/// Whether the registry is on this machine: docker and podman speak plain HTTP with it too.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = |ip: std::net::IpAddr| ip.is_loopback();
    name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(loopback)
}

impl Store for Registry {
    fn place(&self) -> &Place {
        &self.place
    }

    fn top(&self) -> Result<Document, StoreError> {
        self.get(&self.reference)
    }

    fn document(&self, digest: &Digest) -> Result<Document, StoreError> {
        self.get(&Reference::Digest(*digest))
    }

    fn open_blob(&self, digest: &Digest, range: Range<u64>) -> Result<BlobReader, StoreError> {
        if range.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        let span = Span::from(range);
        let stream = self.registries.open_blob(&self.repository, digest, span, &Caller::Own);
        let stream = self.wait(stream)?;
        let (send, receive) = mpsc::channel(AHEAD);
        if let Some(runtime) = self.runtime.get() {
            runtime.spawn(pump(stream, send));
        }
        let runtime = Arc::clone(&self.runtime);
        Ok(Box::new(Received { receive, part: Bytes::new(), _runtime: runtime }))
    }

    fn part(
        &self,
        digest: &Digest,
        range: Range<u64>,
        until: Option<Instant>,
    ) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let whole = async {
            let span = Span::from(range);
            let asked = self.registries.open_blob(&self.repository, digest, span, &Caller::Own);
            let mut stream = asked.await?;
            let mut bytes = BytesMut::new();
            while let Some(part) = stream.next().await {
                bytes.extend_from_slice(&part?);
            }
            Ok(bytes.freeze())
        };
        self.wait_if_until(until, whole)
    }

    fn confirms(&self, digest: &Digest, until: Instant) -> Result<bool, StoreError> {
        let asked = self.registries.blob_head(&self.repository, digest, &Caller::Own);
        there(self.wait_until(until, asked)).map(|blob| blob.is_some())
    }

    fn authorization(&self, until: Instant) -> Result<Option<Credential>, StoreError> {
        self.wait_until(until, self.registries.own_authorization(&self.repository))
    }

    fn blob_length(
        &self,
        digest: &Digest,
        until: Option<Instant>,
    ) -> Result<Option<u64>, StoreError> {
        let asked = self.registries.blob_head(&self.repository, digest, &Caller::Own);
        Ok(there(self.wait_if_until(until, asked))?.map(|blob| blob.length))
    }

    fn put_blob(&self, blob: &NewBlob) -> Result<(), StoreError> {
        if self.blob_length(&blob.digest, None)?.is_some() {
            return Ok(());
        }
        let (digest, length) = (&blob.digest, blob.length);
        self.wait(self.registries.push_blob(&self.repository, digest, &blob.file, length))
    }

    fn mount_blob(&self, digest: &Digest, from: &Place) -> Result<bool, StoreError> {
        let Place::Registry { repository, .. } = from else { return Ok(false) };
        if repository.registry() != self.repository.registry() {
            return Ok(false);
        }
        if *repository == self.repository || self.blob_length(digest, None)?.is_some() {
            return Ok(true);
        }
        self.wait(self.registries.mount_blob(&self.repository, digest, repository))
    }

    fn put_document(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put(&Reference::Digest(Digest::of(bytes)), media_type, bytes)
    }

    fn put_top(&self, media_type: &str, bytes: &Bytes) -> Result<(), StoreError> {
        if matches!(self.reference, Reference::Digest(_)) {
            return Err(StoreError::NoTag(self.place.to_string()));
        }
        self.put(&self.reference, media_type, bytes)
    }
}

/// What a registry says of a blob; none if it has none of that digest.
fn there(said: Result<BlobInfo, StoreError>) -> Result<Option<BlobInfo>, StoreError> {
    match said {
        Ok(blob) => Ok(Some(blob)),
        Err(StoreError::Registry { error: Error::Refused(said), .. }) if said.status == 404 => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Hands a blob's parts over until there are no more, or nobody takes them.
async fn pump(mut stream: BlobStream, send: mpsc::Sender<Result<Bytes, Error>>) {
    while let Some(part) = stream.next().await {
        let failed = part.is_err();
        if send.send(part).await.is_err() || failed {
            return;
        }
    }
}

/// A blob that comes from the network.
struct Received {
    receive: mpsc::Receiver<Result<Bytes, Error>>,
    part: Bytes,
    /// The network runs as long as somebody reads.
    _runtime: Arc<Runtime>,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.receive.blocking_recv() {
                Some(part) => self.part = part.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let length = self.part.len().min(buffer.len());
        self.part.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_on_this_machine_are_spoken_to_in_clear() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert!(is_here(here), "{here}");
        }
        for there in ["docker.io", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example:1"] {
            assert!(!is_here(there), "{there}");
        }
    }
}
