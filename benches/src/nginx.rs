//! nginx with prepared files: a registry whose access log tells what the origin sent, or the
//! baseline that serves them as cheaply as can be.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use content::Digest;
use testbed::process::Process;
use testbed::{Site, Spot, ports};

use crate::blob::BlobFile;

/// What an nginx is to serve.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    digests: String,
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    log: PathBuf,
}

/// Whether it writes an access log: a registry does, a baseline does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessLog {
    /// It writes one.
    On,
    /// It does not.
    Off,
}

impl Files {
    /// Nothing yet, to be kept in the new folder `folder`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), digests: String::new() })
    }

    /// Adds a blob to a repository, without copying it.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn blob(self, repository: &str, blob: &BlobFile) -> anyhow::Result<Self> {
        let folder = self.folder.join(format!("www/v2/{repository}/blobs"));
        std::fs::create_dir_all(&folder)?;
        let name = folder.join(blob.digest().to_string());
        std::os::unix::fs::symlink(blob.path().canonicalize()?, name)?;
        Ok(self)
    }

    /// Adds an image manifest to a repository, under its digest and under `tag`.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn manifest(
        mut self,
        repository: &str,
        tag: &str,
        manifest: &[u8],
    ) -> anyhow::Result<Self> {
        let path = format!("/v2/{repository}/manifests");
        let folder = self.folder.join(format!("www{path}"));
        std::fs::create_dir_all(&folder)?;
        let digest = Digest::of(manifest);
        for name in [tag, &digest.to_string()] {
            std::fs::write(folder.join(name), manifest)?;
            writeln!(self.digests, "    \"{path}/{name}\" \"{digest}\";")?;
        }
        Ok(self)
    }

    /// Starts nginx at `spot`.
    ///
    /// # Errors
    /// If there is no nginx, or it does not get ready.
    pub fn serve(self, spot: &Spot, access_log: AccessLog) -> anyhow::Result<Nginx> {
        let address = spot.address(ports::free());
        let log = self.folder.join("access.log");
        let config = self.folder.join("nginx.conf");
        std::fs::write(&config, self.config(address, access_log))?;
        let mut command = spot.command(program());
        command.arg("-p").arg(&self.folder).arg("-c").arg(&config);
        let process = Process::start("nginx", &self.folder, &mut command)?;
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(Nginx { process, address, log });
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        bail!("nginx does not get ready: {}", process.log())
    }

    /// As cheap as nginx gets here: `tcp_nopush`, which spares packets on a wire, costs it half as
    /// much again over loopback, and would make ours look good.
    fn config(&self, address: SocketAddr, access_log: AccessLog) -> String {
        let folder = self.folder.display();
        let log = match access_log {
            AccessLog::On => format!("{folder}/access.log short"),
            AccessLog::Off => "off".to_owned(),
        };
        let digests = &self.digests;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {folder}/tmp-{name};\n"))
            .concat();
        format!(
            r#"daemon off; user root; worker_processes auto;
pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format short '$request_method $uri $status $body_bytes_sent';
  access_log {log};
  sendfile on; tcp_nodelay on;
  keepalive_timeout 600s; keepalive_requests 100000000;
  open_file_cache max=1000; server_tokens off;
{temporary}  map_hash_bucket_size 512;
  default_type application/octet-stream;
  map $uri $content_digest {{
    default "";
{digests}  }}
  server {{
    listen {address}; root {folder}/www;
    location = /v2/ {{ return 200 "{{}}"; }}
    location ~ /manifests/ {{
      default_type application/vnd.oci.image.manifest.v1+json;
      add_header Docker-Content-Digest $content_digest;
    }}
  }}
}}
"#
        )
    }
}

impl Nginx {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its host, as references have it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How a supernode or node is told of it.
    #[must_use]
    pub fn site(&self) -> Site {
        Site::http(&self.host(), self.address)
    }

    /// The id of its first process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How many requests it has answered since its start, by its access log.
    ///
    /// # Errors
    /// If it keeps none.
    pub fn requests(&self) -> anyhow::Result<usize> {
        Ok(self.access_log()?.lines().count())
    }

    fn access_log(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.log).context("it keeps no access log")
    }

    /// How many bytes of blobs it has sent since its start, by its access log.
    ///
    /// # Errors
    /// If it keeps none.
    pub fn blob_bytes(&self) -> anyhow::Result<u64> {
        let log = self.access_log()?;
        let of_blob = |line: &str| {
            let mut fields = line.split(' ');
            let get = fields.next()? == "GET" && fields.next()?.contains("/blobs/");
            get.then(|| fields.nth(1)?.parse::<u64>().ok())?
        };
        Ok(log.lines().filter_map(of_blob).sum())
    }
}

/// Its workers would stay if it were only killed.
impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.end();
    }
}

/// What a baseline is called in a report: `nginx 1.22.1 sendfile`.
#[must_use]
pub fn version() -> String {
    let told = Command::new(program()).arg("-v").output().map(|output| output.stderr);
    let told = String::from_utf8_lossy(&told.unwrap_or_default()).trim().to_owned();
    let number = told.rsplit('/').next().unwrap_or_default();
    format!("nginx {number} sendfile")
}

/// Debian keeps it where a user's PATH does not look.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}
