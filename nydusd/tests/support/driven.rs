//! nydusd as nydus-snapshotter starts and drives it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{nydusd, wait};

/// A daemon, with a folder of its own.
pub(crate) struct Driven {
    pub(crate) folder: TempDir,
    driver: &'static str,
    process: Option<Child>,
}

/// An answer: its status, and what its body says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Driven {
    pub(crate) fn new(driver: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mnt")).unwrap();
        Self { folder, driver, process: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it mounts.
    pub(crate) fn at(&self) -> PathBuf {
        self.path("mnt")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("api.sock")
    }

    /// A command with the flags that every start has.
    pub(crate) fn command(&self, begin: &[&str]) -> Command {
        let mut command = nydusd(begin);
        command.env("MEGANEURA_DRIVER", self.driver);
        command.env("MEGANEURA_DFDAEMON_SOCKET", self.path("dfdaemon.sock"));
        command.args(["--thread-num", "4", "--mountpoint"]).arg(self.at());
        command.args(["--log-level", "info", "--apisock"]).arg(self.socket());
        command.args(["--log-rotation-size", "100", "--failover-policy", "resend"]);
        command.arg("--log-file").arg(self.path("nydusd.log"));
        command
    }

    /// Starts it for one image, and waits until it serves.
    pub(crate) fn start_dedicated(&mut self, bootstrap: &Path, config: &Value) {
        fs::write(self.path("config.json"), config.to_string()).unwrap();
        let mut command = self.command(&["fuse"]);
        command.arg("--config").arg(self.path("config.json")).arg("--bootstrap").arg(bootstrap);
        self.start(command);
    }

    /// Starts it without an image.
    pub(crate) fn start_shared(&mut self) {
        let command = self.command(&["fuse"]);
        self.start(command);
    }

    pub(crate) fn start(&mut self, command: Command) {
        self.start_until(command, "RUNNING");
    }

    /// Starts it, and waits until it is in a state.
    pub(crate) fn start_until(&mut self, mut command: Command, state: &str) {
        // What a killed one left, the snapshotter removes.
        let _ = fs::remove_file(self.socket());
        self.process = Some(command.stdin(Stdio::null()).spawn().unwrap());
        wait(|| self.socket().exists(), "the socket");
        wait(|| self.state() == state, state);
    }

    pub(crate) fn state(&self) -> String {
        self.get("/api/v1/daemon").body["state"].as_str().unwrap().to_owned()
    }

    /// Mounts an image as a shared daemon is asked to.
    pub(crate) fn mount(&self, id: &str, bootstrap: &Path, config: &Value) -> Answer {
        let asked = json!({ "fs_type": "rafs", "source": bootstrap, "config": config.to_string() });
        self.ask("POST", &format!("/api/v1/mount?mountpoint={id}"), &asked.to_string())
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    /// A page that is no JSON.
    pub(crate) fn text(&self, target: &str) -> String {
        self.get(target).body.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: unix\r\nContent-Length: {length}");
        let head = format!("{head}\r\nConnection: close\r\n\r\n");
        self.converse(&[head.as_bytes(), body.as_bytes()], false)
    }

    /// Says this, whatever it is, and no more; status 0 if there is no answer.
    pub(crate) fn say(&self, what: &[u8]) -> Answer {
        self.converse(&[what], true)
    }

    fn converse(&self, parts: &[&[u8]], end: bool) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for part in parts {
            // It may have heard enough.
            let _ = stream.write_all(part);
        }
        if end {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        if head.contains("text") {
            return Answer { status: 200, body: Value::from(body) };
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        Answer { status, body }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Waits until it has ended by itself: whether in order.
    pub(crate) fn ended(&mut self) -> bool {
        self.process.take().unwrap().wait().unwrap().success()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("nydusd.log")).unwrap_or_default()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        for mount in nydusd::mounts::all().unwrap_or_default().iter().rev() {
            if mount.is_ours() && mount.at.starts_with(self.folder.path()) {
                let _ = rustix::mount::unmount(&mount.at, rustix::mount::UnmountFlags::DETACH);
            }
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// What the snapshotter finds of an image in a layout: its bootstrap layer, unpacked. The bootstrap.
pub(crate) fn unpacked(layout: &Path, into: &Path) -> PathBuf {
    let read = |digest: &str| layout.join("blobs/sha256").join(digest.replace("sha256:", ""));
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let index = json(&layout.join("index.json"));
    let manifest = json(&read(index["manifests"][0]["digest"].as_str().unwrap()));
    let layer = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].clone();
    fs::create_dir_all(into).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(read(layer.as_str().unwrap())).arg("-C").arg(into);
    super::done(&mut tar);
    into.join("image/image.boot")
}

/// The configuration of a mount whose blobs are in a registry, and whose chunks go to `cache`.
pub(crate) fn with_registry(host: &str, cache: &Path) -> Value {
    json!({
        "device": {
            "backend": {
                "type": "registry",
                "config": { "host": host, "repo": "team/demo", "scheme": "http", "timeout": 5 },
            },
            "cache": { "type": "blobcache", "config": { "work_dir": cache } },
        },
        "mode": "direct",
        "digest_validate": false,
        "fs_prefetch": { "enable": false },
    })
}
