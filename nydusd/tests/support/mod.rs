//! Real mounts for tests, by the program itself.

#![allow(dead_code, unused_imports, reason = "each test uses a part")]

pub(crate) mod driven;
pub(crate) mod layers;
pub(crate) mod reads;
pub(crate) mod rig;
pub(crate) mod same;
pub(crate) mod server;
pub(crate) mod trees;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use server::{Behaviour, registry};
pub(crate) use testbed::can_mount;
use trees::{directory, packed};

/// The ways into the kernel that there are here; says aloud which is not.
pub(crate) fn drivers() -> Vec<&'static str> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next(), numbers.next());
    let erofs = fs::read_to_string("/proc/filesystems").unwrap().contains("erofs");
    if erofs && version >= (Some(6), Some(12)) {
        return vec!["fuse", "erofs"];
    }
    testbed::skipped("the driver erofs needs Linux 6.12 with EROFS");
    vec!["fuse"]
}

/// A folder to mount on, a chunk cache, and the process that serves.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    driver: &'static str,
    served: Option<Child>,
}

impl Node {
    pub(crate) fn new(driver: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mount")).unwrap();
        Self { folder, driver, served: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where images are mounted.
    pub(crate) fn at(&self) -> PathBuf {
        self.path("mount")
    }

    /// More folders to mount on.
    pub(crate) fn places(&self, count: usize) -> Vec<PathBuf> {
        let places: Vec<_> = (0..count).map(|n| self.path(&format!("at {n}"))).collect();
        places.iter().for_each(|at| fs::create_dir(at).unwrap());
        places
    }

    /// Where the node's dfdaemon would listen.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("dfdaemon.sock")
    }

    fn command(&self, image: &Path, more: &[&str]) -> Command {
        let mut command = nydusd(&["mount", "--driver", self.driver, "--cache-dir"]);
        command.arg(self.path("cache")).arg("--dfdaemon").arg(self.socket());
        command.args(more).arg(image).arg(self.at());
        command
    }

    /// Mounts by a process in the foreground, and waits until it has.
    pub(crate) fn mount(&mut self, image: &Path, more: &[&str]) {
        let mut command = self.command(image, more);
        // As the command does itself, which then returns: what stays says when it has mounted.
        command.env("NYDUSD_STAYS", "1").stdout(Stdio::piped());
        let mut served = command.spawn().unwrap();
        let mut said = [0; 8];
        let told = served.stdout.take().unwrap().read_exact(&mut said);
        assert!(told.is_ok() && said == *b"mounted\n", "not mounted");
        self.served = Some(served);
    }

    /// Starts `nydusd serve`, and waits until it says to systemd that it is there.
    pub(crate) fn serve(&mut self, more: &[&str]) {
        let mut command = self.serve_command();
        command.args(more);
        self.serve_by(&mut command);
    }

    /// The same, by this command.
    pub(crate) fn serve_by(&mut self, command: &mut Command) {
        let path = self.path("notify.sock");
        let _ = fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        self.served = Some(command.env("NOTIFY_SOCKET", &path).spawn().unwrap());
        let mut said = [0; 100];
        let length = notify.recv(&mut said).expect("it says that it is ready");
        assert_eq!(said[..length].trim_ascii_end(), b"READY=1");
    }

    pub(crate) fn serve_command(&self) -> Command {
        let mut command = nydusd(&["serve", "--read-limit", "3", "--cache-dir"]);
        command.arg(self.path("cache")).arg("--dfdaemon").arg(self.socket());
        command
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = Pid::from_child(self.served.as_ref().unwrap());
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// What `nydusd mount` says when it fails on the folder `at`.
    pub(crate) fn refused(&self, image: &Path, at: &Path) -> String {
        let mut command = nydusd(&["mount", "--driver", self.driver, "--cache-dir"]);
        let output = command.arg(self.path("cache")).arg(image).arg(at).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Unmounts by the command, on a node whose process may be away.
    pub(crate) fn umount_at(&self, at: &Path) {
        done(nydusd(&["umount", "--cache-dir"]).arg(self.path("cache")).arg(at));
    }

    /// Mounts as people do; the process stays by itself.
    pub(crate) fn mount_and_return(&self, image: &Path, more: &[&str]) -> Output {
        self.command(image, more).output().unwrap()
    }

    /// Mounts on another folder, by the process that is there.
    pub(crate) fn mount_too(&self, image: &Path, at: &Path) {
        self.mount_too_so(image, at, &[]);
    }

    /// The same, in another way.
    pub(crate) fn mount_too_so(&self, image: &Path, at: &Path, more: &[&str]) {
        let mut command = nydusd(&["mount", "--driver", self.driver, "--cache-dir"]);
        done(command.arg(self.path("cache")).args(more).arg(image).arg(at));
    }

    /// What `nydusd ls` says.
    pub(crate) fn ls(&self) -> String {
        let mut command = nydusd(&["ls", "--cache-dir"]);
        let output = command.arg(self.path("cache")).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `nydusd ls --json` says of the first mount.
    pub(crate) fn ls_json(&self) -> serde_json::Value {
        let mut command = nydusd(&["ls", "--json", "--cache-dir"]);
        let output = command.arg(self.path("cache")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    }

    /// What `nydusd stats --json` says of the mount.
    pub(crate) fn stats_json(&self) -> serde_json::Value {
        let mut command = nydusd(&["stats", "--json", "--cache-dir"]);
        let output = command.arg(self.path("cache")).arg(self.at()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn umount(&mut self) {
        done(&mut nydusd(&["umount", self.at().to_str().unwrap()]));
        if let Some(mut served) = self.served.take() {
            assert!(served.wait().unwrap().success());
        }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut served = self.served.take().unwrap();
        served.kill().unwrap();
        served.wait().unwrap();
    }

    /// SIGTERM, and waits for an end without a fault.
    pub(crate) fn end(&mut self) {
        self.terminate();
        assert!(self.served().wait().unwrap().success());
    }

    /// Who serves; whoever takes it answers for its end.
    pub(crate) fn served(&mut self) -> Child {
        self.served.take().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.served.as_ref().unwrap().id()
    }

    /// Makes the kernel forget what it has read.
    pub(crate) fn forget_pages(&self) {
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for mount in nydusd::mounts::all().unwrap_or_default().iter().rev() {
            if mount.is_ours() && mount.at.starts_with(self.folder.path()) {
                let _ = rustix::mount::unmount(&mount.at, rustix::mount::UnmountFlags::DETACH);
            }
        }
        if let Some(mut served) = self.served.take() {
            let _ = served.kill();
            let _ = served.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("cache/nydusd.log"));
            eprintln!("{}", log.unwrap_or_default());
        }
    }
}

/// A node, the tree that it should show, and the layout with it as an image.
pub(crate) fn with_layout(driver: &'static str) -> (Node, PathBuf, PathBuf) {
    let node = Node::new(driver);
    let (tree, layout) = (node.path("tree"), node.path("layout"));
    directory(&tree);
    packed(&tree, &layout);
    (node, tree, layout)
}

/// A node, the tree that it should show, the image's name, and the registry that has it.
pub(crate) fn with_registry(driver: &'static str) -> (Node, PathBuf, String, Arc<Behaviour>) {
    let (node, tree, layout) = with_layout(driver);
    let (address, behaviour) = registry(&layout);
    (node, tree, format!("{address}/team/demo:v1"), behaviour)
}

/// The program with these arguments.
pub(crate) fn nydusd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nydusd"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The same command in a shell's limits, as its `ulimit` understands them.
pub(crate) fn limited(command: &Command, limits: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limits}; exec \"$0\" \"$@\"")]).stdin(Stdio::null());
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// Runs it; it must not fail. What is unmounted may be busy for a moment: from its fork to its exec, a
/// child that another test starts has open whatever this process has.
pub(crate) fn done(command: &mut Command) {
    let begun = Instant::now();
    loop {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return;
        }
        let busy = said.contains("resource busy") && begun.elapsed() < Duration::from_secs(5);
        assert!(busy, "{command:?}: {said}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for what must come soon.
pub(crate) fn wait(is: impl Fn() -> bool, what: &str) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
