//! Names that images are marked with.

/// Media types (OCI image-spec, "Media Types"; Docker image manifest v2, schema 2; Nydus).
pub mod media_type {
    /// An OCI index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer: a tar.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer: a tar under gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Docker's index.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's layer: a tar under gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// A data blob of a chunked image.
    pub const NYDUS_BLOB: &str = "application/vnd.oci.image.layer.nydus.blob.v1";
    /// Nothing: `{}` (OCI image-spec, "Guidance for an Empty Descriptor").
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A build cache, as the `artifactType` of its manifest. Ours.
    pub const BUILD_CACHE: &str = "application/vnd.meganeura.build-cache.v1+json";
    /// What a chunked image is, as the `artifactType` of a manifest or of its descriptor.
    pub const NYDUS_MANIFEST: &str = "application/vnd.nydus.image.manifest.v1+json";
}

/// Keys of annotations.
pub mod annotation {
    /// On a layer: it is a data blob. `true`.
    pub const NYDUS_BLOB: &str = "containerd.io/snapshot/nydus-blob";
    /// On a layer: it has the bootstrap. `true`.
    pub const NYDUS_BOOTSTRAP: &str = "containerd.io/snapshot/nydus-bootstrap";
    /// On the bootstrap layer: the format's version. `6`.
    pub const NYDUS_FS_VERSION: &str = "containerd.io/snapshot/nydus-fs-version";
    /// On the bootstrap layer: data blobs that came with a dictionary, a JSON list of digests in
    /// hexadecimal.
    pub const NYDUS_REFERENCE_BLOBS: &str = "containerd.io/snapshot/nydus-reference-blob-ids";
    /// On a layer of a build cache: the digest of the ordinary layer that it was made of.
    pub const NYDUS_SOURCE_DIGEST: &str = "containerd.io/snapshot/nydus-source-digest";
    /// On a layer of a build cache: what the layer was made of, and how. Ours.
    pub const CACHE_KEY: &str = "io.meganeura.cache-key";
    /// On a layer: the digest of what it holds, uncompressed.
    pub const UNCOMPRESSED: &str = "containerd.io/uncompressed";
    /// On the manifest: the merkle root of the whole tree, as a digest. Ours.
    pub const MERKLE_ROOT: &str = "io.meganeura.merkle-root";
    /// In a layout's index: the image's tag.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
}
