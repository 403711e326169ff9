//! What a client asks a node's mirror for: a path, a blob, a whole image as containerd pulls it.

use anyhow::{Context, ensure};
use bytes::Bytes;
use content::Digest;
use futures_util::future::join_all;

use super::Node;
use crate::web::{self, Answer};

impl Node {
    /// GETs a path of the mirror.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn get(&self, target: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        web::get(self.mirror(), target, headers).await
    }

    /// GETs a blob as containerd does.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn blob(
        &self,
        registry: &str,
        repository: &str,
        digest: Digest,
    ) -> anyhow::Result<Answer> {
        self.get(&format!("/v2/{repository}/blobs/{digest}?ns={registry}"), &[]).await
    }

    /// Pulls an image as containerd does: the tag's HEAD, the manifest by digest, config and layers
    /// at once. Returns the layers, their digests checked.
    ///
    /// # Errors
    /// If anything is not to be had, or is not what its digest says.
    pub async fn pull(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
    ) -> anyhow::Result<Vec<Bytes>> {
        self.pull_as(registry, repository, tag, &[]).await
    }

    /// [`Self::pull`], with headers.
    ///
    /// # Errors
    /// If anything is not to be had, or is not what its digest says.
    pub async fn pull_as(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Vec<Bytes>> {
        let base = format!("/v2/{repository}");
        let target = format!("{base}/manifests/{tag}?ns={registry}");
        let head =
            web::send(self.mirror(), http::Method::HEAD, &target, headers, Bytes::new()).await?;
        ensure!(head.status == 200, "HEAD {target}: {}", head.status);
        let digest = head.header("docker-content-digest").context("no digest")?.to_owned();
        let manifest = self
            .checked(&format!("{base}/manifests/{digest}?ns={registry}"), &digest, headers)
            .await?;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        let digest_of = |entry: &serde_json::Value| {
            entry["digest"].as_str().map(ToOwned::to_owned).context("a descriptor without digest")
        };
        let target = |digest: &str| format!("{base}/blobs/{digest}?ns={registry}");
        let config = digest_of(&manifest["config"])?;
        self.checked(&target(&config), &config, headers).await?;
        let listed = manifest["layers"].as_array().context("no layers")?;
        let digests = listed.iter().map(digest_of).collect::<anyhow::Result<Vec<_>>>()?;
        let mut layers = Vec::new();
        // Three at a time, as containerd has it.
        for group in digests.chunks(3) {
            let targets: Vec<_> = group.iter().map(|digest| (target(digest), digest)).collect();
            let fetched =
                targets.iter().map(|(target, digest)| self.checked(target, digest, headers));
            for layer in join_all(fetched).await {
                layers.push(layer?);
            }
        }
        Ok(layers)
    }

    async fn checked(
        &self,
        target: &str,
        digest: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Bytes> {
        let answer = self.get(target, headers).await?;
        ensure!(answer.status == 200, "GET {target}: {} {}", answer.status, answer.text());
        ensure!(answer.complete, "GET {target} ended short after {} bytes", answer.body.len());
        ensure!(Digest::of(&answer.body).to_string() == digest, "GET {target}: wrong bytes");
        Ok(answer.body)
    }
}
