//! What is written to a registry: blobs, mounts, manifests. Only with our own credentials, and only
//! by those who call it: nothing that a daemon is asked leads here.
//!
//! A blob is sent whole, out of a file, as often as it takes (distribution-spec, "POST then PUT").
//! Parts would do without the file, but after a lost part `docker-registry` gives the whole upload up,
//! and only who still has all bytes can begin anew.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use content::Digest;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use url::Url;

use crate::call::Call;
use crate::credential::Caller;
use crate::door::Ask;
use crate::error::Error;
use crate::names::{Reference, Repository};
use crate::registries::Registries;
use crate::retry::Backoff;
use crate::sent::Sent;

/// An upload that is given up may be gone already.
const GIVEN_UP: &[u16] = &[200, 202, 204, 404, 405];

/// What a registry lists a manifest under that refers to another one (OCI distribution-spec,
/// "Pushing Manifests with Subject").
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A manifest that was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PutManifest {
    /// Its digest.
    pub digest: Digest,
    /// Whether the registry lists it as a referrer of its subject. One that does not leaves that to
    /// who puts it.
    pub subject: bool,
}

impl Registries {
    /// Sends the first `length` bytes of `file`. The registry keeps them only if they have this
    /// digest.
    ///
    /// # Errors
    /// If the registry has other bytes in the end, cannot be asked, or refuses; if the file cannot be
    /// read that far.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        file: &Arc<File>,
        length: u64,
    ) -> Result<(), Error> {
        let call = self.pushing(repository)?;
        let mut backoff = Backoff::for_body(&self.inner.config);
        loop {
            match send(&call, digest, file, length).await {
                Ok(()) => return Ok(()),
                Err(error) => backoff.pause(error).await?,
            }
        }
    }

    /// Lets the repository have a blob of another one on the same registry, if the registry will:
    /// whether it did.
    ///
    /// # Errors
    /// If the registry cannot be asked, or refuses to be written to.
    pub async fn mount_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<bool, Error> {
        let call = self.pushing(repository)?;
        let mut url = uploads(&call);
        let query = [("mount", digest.to_string()), ("from", from.name().to_owned())];
        url.query_pairs_mut().extend_pairs(query);
        let reply = call.patiently(&Ask::new(Method::POST, url), &[201, 202]).await?;
        if reply.status() == 201 {
            return Ok(true);
        }
        // An upload was begun instead; it is not wanted, and goes by itself if this does not help.
        if let Ok(location) = call.target(&reply) {
            let _ = call.patiently(&Ask::new(Method::DELETE, location), GIVEN_UP).await;
        }
        Ok(false)
    }

    /// Puts a manifest under a tag or its digest.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] if it is put under another digest than its own; if the media type
    /// cannot be a header's value; if the registry cannot be asked or refuses.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        media_type: &str,
        manifest: Bytes,
    ) -> Result<PutManifest, Error> {
        let actual = Digest::of(&manifest);
        if let Reference::Digest(expected) = reference
            && *expected != actual
        {
            return Err(Error::DigestMismatch { expected: *expected, actual });
        }
        let call = self.pushing(repository)?;
        let mut ask = Ask::new(Method::PUT, call.url("manifests", &reference.to_string()));
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| Error::protocol(repository.registry(), "a media type is no text"))?;
        ask.body = Some(Sent::Bytes(media_type, manifest));
        let reply = call.patiently(&ask, &[200, 201, 202]).await?;
        let subject = reply.header(&OCI_SUBJECT).is_some();
        reply.discard().await;
        Ok(PutManifest { digest: actual, subject })
    }

    fn pushing<'a>(&'a self, repository: &'a Repository) -> Result<Call<'a>, Error> {
        Ok(self.call(repository, &Caller::Own)?.pushing())
    }
}

async fn send(
    call: &Call<'_>,
    digest: &Digest,
    file: &Arc<File>,
    length: u64,
) -> Result<(), Error> {
    let reply = call.patiently(&Ask::new(Method::POST, uploads(call)), &[202]).await?;
    let mut url = call.target(&reply)?;
    reply.discard().await;
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    let mut ask = Ask::new(Method::PUT, url);
    ask.body = Some(Sent::File(Arc::clone(file), length));
    call.accepted(&ask, &[201, 202, 204]).await?.discard().await;
    Ok(())
}

/// Where uploads begin: `/v2/<name>/blobs/uploads/`, with its slash.
fn uploads(call: &Call<'_>) -> Url {
    let mut url = call.url("blobs", "uploads");
    // A registry's URL is HTTP(S), which always has a path that can be extended.
    if let Ok(mut path) = url.path_segments_mut() {
        path.push("");
    }
    url
}
