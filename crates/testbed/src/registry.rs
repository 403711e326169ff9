//! Debian's docker-registry, with its access log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use content::Digest;
use http::Method;

use crate::cluster::Site;
use crate::image::{Image, MANIFEST};
use crate::ports;
use crate::process::Process;
use crate::spot::Spot;
use crate::web;

/// How a registry is to be started.
#[derive(Debug)]
pub struct Builder {
    dir: PathBuf,
    spot: Spot,
    users: Vec<(String, String)>,
}

/// A running registry.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Process,
    address: SocketAddr,
    users: Vec<(String, String)>,
    htpasswd: PathBuf,
}

impl Builder {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), spot: Spot::loopback(), users: Vec::new() }
    }

    /// Only this user, and others added so, may pull and push.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Elsewhere than on loopback.
    #[must_use]
    pub fn at(mut self, spot: &Spot) -> Self {
        self.spot = spot.clone();
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// If docker-registry (or htpasswd, for users) is not there, or does not get ready.
    pub async fn start(self) -> anyhow::Result<DockerRegistry> {
        let port = ports::free();
        let dir = self.dir.join(format!("registry-{port}"));
        std::fs::create_dir_all(&dir)?;
        let auth = self.htpasswd(&dir)?;
        let address = self.spot.address(port);
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             redirect: {{disable: true}}\nhttp:\n  addr: {address}\n{auth}",
            dir.join("data").display()
        );
        let file = dir.join("config.yml");
        std::fs::write(&file, config)?;
        let mut command = self.spot.command("docker-registry");
        let process = Process::start("docker-registry", &dir, command.arg("serve").arg(&file))?;
        let registry =
            DockerRegistry { process, address, users: self.users, htpasswd: dir.join("htpasswd") };
        for _ in 0..200 {
            if web::get(registry.address, "/v2/", &[]).await.is_ok() {
                return Ok(registry);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("docker-registry does not get ready: {}", registry.process.log())
    }

    fn htpasswd(&self, dir: &Path) -> anyhow::Result<String> {
        if self.users.is_empty() {
            return Ok(String::new());
        }
        let file = dir.join("htpasswd");
        let mut lines = String::new();
        for (name, password) in &self.users {
            let made = Command::new("htpasswd").args(["-Bbn", name, password]).output();
            let made = made.context("htpasswd is missing (apache2-utils)")?;
            lines.push_str(&String::from_utf8(made.stdout)?);
        }
        std::fs::write(&file, lines)?;
        Ok(format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", file.display()))
    }
}

/// The value of an `Authorization` header for a user.
#[must_use]
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

impl DockerRegistry {
    /// Its host, as references have it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How a supernode or node is told of it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::http(&self.host(), self.address)
    }

    /// Takes a user's right away, from now on.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn revoke(&self, name: &str) -> anyhow::Result<()> {
        let lines = std::fs::read_to_string(&self.htpasswd)?;
        let kept: Vec<_> =
            lines.lines().filter(|line| !line.starts_with(&format!("{name}:"))).collect();
        // docker-registry reads the file anew when its time of change differs.
        std::thread::sleep(Duration::from_millis(1100));
        Ok(std::fs::write(&self.htpasswd, kept.join("\n"))?)
    }

    /// The process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Pushes an image.
    ///
    /// # Errors
    /// If the registry does not take it.
    pub async fn push(&self, repository: &str, tag: &str, image: &Image) -> anyhow::Result<()> {
        for blob in image.blobs() {
            self.push_blob(repository, blob).await?;
        }
        self.push_manifest(repository, tag, MANIFEST, image.manifest()).await
    }

    /// Pushes a manifest or an index.
    ///
    /// # Errors
    /// If the registry does not take it.
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> anyhow::Result<()> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", media_type)];
        let answer = self.send(Method::PUT, &target, &headers, bytes.clone()).await?;
        ensure!(answer.status == 201, "PUT manifest: {} {}", answer.status, answer.text());
        Ok(())
    }

    async fn push_blob(&self, repository: &str, blob: &Bytes) -> anyhow::Result<()> {
        let start = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send(Method::POST, &start, &[], Bytes::new()).await?;
        let location = answer.header("location").context("no upload location")?;
        let path = location.split_once(&self.host()).map_or(location, |(_, path)| path);
        let target = format!("{path}&digest={}", Digest::of(blob));
        let headers = [("content-type", "application/octet-stream")];
        let answer = self.send(Method::PUT, &target, &headers, blob.clone()).await?;
        ensure!(answer.status == 201, "PUT blob: {} {}", answer.status, answer.text());
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<web::Answer> {
        let mut headers = headers.to_vec();
        let authorization = self.users.first().map(|(name, password)| basic(name, password));
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization));
        }
        web::send(self.address, method, target, &headers, body).await
    }

    /// The requests that it answered with a body, by its access log: method, path, status, bytes.
    #[must_use]
    pub fn requests(&self) -> Vec<Logged> {
        self.process.log().lines().filter_map(Logged::read).collect()
    }

    /// How many bytes of blobs it sent.
    #[must_use]
    pub fn blob_bytes(&self) -> u64 {
        self.gets("/blobs/").iter().map(|logged| logged.bytes).sum()
    }

    /// The GETs whose path holds `part`, uploads aside.
    #[must_use]
    pub fn gets(&self, part: &str) -> Vec<Logged> {
        let mut requests = self.requests();
        requests.retain(|logged| logged.method == "GET" && logged.path.contains(part));
        requests
    }
}

/// One line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// GET, HEAD, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The status.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
}

impl Logged {
    /// Reads a line of the combined log format: `… "GET /path HTTP/1.1" 200 123 …`.
    fn read(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("] \"")?;
        let (request, rest) = rest.split_once("\" ")?;
        let mut request = request.split(' ');
        let mut rest = rest.split(' ');
        Some(Self {
            method: request.next()?.to_owned(),
            path: request.next()?.to_owned(),
            status: rest.next()?.parse().ok()?,
            bytes: rest.next()?.parse().unwrap_or(0),
        })
    }
}
