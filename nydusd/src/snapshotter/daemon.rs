//! What the snapshotter drives: a daemon in one of few states, and its mounts.
//!
//! *Dedicated*, it serves the one image of its command line at its mount point, and is called `/`.
//! *Shared*, it is told what to mount, each image at a folder below its mount point.

mod telling;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use telemetry::logs;
use tokio_util::sync::CancellationToken;
use web::status::Status;

use super::asked::{MountAsked, Renewal};
use super::config::Config;
use super::mounting::{Mount, Mounter};
use super::options::Options;
use super::refused::Refused;
use crate::lock::lock;
use crate::mounts;

pub use telling::Used;

/// What the one mount of a dedicated daemon is called.
pub const ONLY: &str = "/";

/// In which state a daemon is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It has nothing to serve yet.
    Init,
    /// It could.
    Ready,
    /// It serves.
    Running,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    options: Options,
    state: Mutex<State>,
    mounter: Mounter,
    mounts: Mutex<BTreeMap<String, Mount>>,
    /// Held by who mounts or unmounts: one after the other, so that no two do it at one place.
    turn: Mutex<()>,
    /// Whether the process is to end.
    pub(super) end: CancellationToken,
}

impl Daemon {
    /// One that has nothing to serve yet.
    ///
    /// # Errors
    /// If there are no threads for the network.
    pub fn new(options: Options) -> std::io::Result<Self> {
        Ok(Self {
            mounter: Mounter::new(&options)?,
            options,
            state: Mutex::new(State::Init),
            mounts: Mutex::default(),
            turn: Mutex::default(),
            end: CancellationToken::new(),
        })
    }

    /// How it was called.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// In which state it is.
    #[must_use]
    pub fn state(&self) -> State {
        *lock(&self.state)
    }

    /// Serves from now on.
    ///
    /// # Errors
    /// If it has nothing to serve.
    pub fn start(&self) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        if *state == State::Init {
            return Err(Refused::Bad("there is nothing to be served yet".to_owned()));
        }
        *state = State::Running;
        Ok(())
    }

    /// It has what it is to serve.
    pub fn ready(&self) {
        *lock(&self.state) = State::Ready;
    }

    /// Mounts the one image of a dedicated daemon. Of it, the paths `first` are fetched first.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn mount_only(
        &self,
        bootstrap: &Path,
        config: &str,
        first: Vec<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let at = &self.options.mountpoint;
        let mount = self.mounter.mount(ONLY, at, bootstrap, config, first)?;
        lock(&self.mounts).insert(ONLY.to_owned(), mount);
        Ok(())
    }

    /// Mounts an image below the mount point of a shared daemon.
    ///
    /// # Errors
    /// If the name is none or taken, or the image cannot be mounted.
    pub fn mount(&self, asked: &MountAsked) -> Result<(), Refused> {
        let _turn = lock(&self.turn);
        self.mount_in_turn(asked)
    }

    fn mount_in_turn(&self, asked: &MountAsked) -> Result<(), Refused> {
        let at = self.place(&asked.id)?;
        if self.state() != State::Running {
            return Err(Refused::NotNow("this daemon does not serve".to_owned()));
        }
        if lock(&self.mounts).contains_key(ONLY) {
            return Err(Refused::Bad("this daemon serves the image of its start only".to_owned()));
        }
        if lock(&self.mounts).contains_key(&asked.id) {
            return Err(Refused::Bad(format!("{} is mounted already", asked.id)));
        }
        let MountAsked { id, bootstrap, config, prefetch_files } = asked;
        let first = prefetch_files.iter().map(|path| path.as_bytes().to_vec()).collect();
        let mounted = std::fs::create_dir_all(&at)
            .with_context(|| at.display().to_string())
            .and_then(|()| self.mounter.mount(id, &at, bootstrap, config, first));
        match mounted {
            Ok(mount) => {
                lock(&self.mounts).insert(id.clone(), mount);
                Ok(())
            }
            Err(error) => {
                let _ = std::fs::remove_dir(&at);
                tracing::warn!(id, error = image::causes(error.as_ref()), "not mounted");
                Err(Refused::failed(&error))
            }
        }
    }

    /// Mounts another image in a mount's place; who uses the old one goes on with it.
    ///
    /// # Errors
    /// As of [`Self::umount`] and [`Self::mount`].
    pub fn remount(&self, asked: &MountAsked) -> Result<(), Refused> {
        // What cannot be read is no reason to lose the old one.
        Config::parse(&asked.config).map_err(|error| Refused::Bad(error.to_string()))?;
        let _turn = lock(&self.turn);
        self.umount_in_turn(&asked.id)?;
        self.mount_in_turn(asked)
    }

    /// Unmounts; who uses it goes on until he is done.
    ///
    /// # Errors
    /// If there is no such mount, or the kernel refuses.
    pub fn umount(&self, id: &str) -> Result<(), Refused> {
        let _turn = lock(&self.turn);
        self.umount_in_turn(id)
    }

    fn umount_in_turn(&self, id: &str) -> Result<(), Refused> {
        self.place(id)?;
        let mount = lock(&self.mounts).remove(id).ok_or_else(|| unknown(id))?;
        match mounts::take_away(&mount.at, true) {
            Ok(()) => {}
            // Somebody was faster.
            Err(_) if !mount.node.serves(&mount.at) => {}
            Err(error) => {
                let refused = Refused::Failed(format!("{id} cannot be unmounted: {error}"));
                lock(&self.mounts).insert(id.to_owned(), mount);
                return Err(refused);
            }
        }
        if let Err(error) = std::fs::remove_dir(&mount.at) {
            tracing::debug!(%error, at = %mount.at.display(), "the folder stays");
        }
        Ok(())
    }

    /// What Prometheus is shown, once there is something to be shown.
    pub(super) fn pages(&self) -> Option<Status> {
        self.mounter.nodes.pages()
    }

    /// How many mounts are left.
    pub(super) fn sweep(&self) -> usize {
        self.mounter.nodes.sweep()
    }

    /// Unmounts everything; what is in use goes when its last user does.
    pub(super) fn take_all_away(&self) {
        self.mounter.nodes.take_all_away();
    }

    /// Takes new credentials for a mount, or for all.
    ///
    /// # Errors
    /// If there is no such mount, or the disk says no.
    pub fn renew(&self, id: Option<&str>, renewal: &Renewal) -> Result<(), Refused> {
        for key in &renewal.ignored {
            tracing::warn!(key, "this part of the configuration cannot be changed");
        }
        let mounts = lock(&self.mounts);
        if let Some(id) = id.filter(|id| !mounts.contains_key(*id)) {
            return Err(unknown(id));
        }
        let Some(auth) = &renewal.auth else { return Ok(()) };
        for (_, mount) in mounts.iter().filter(|(name, _)| id.is_none_or(|id| id == *name)) {
            mount
                .renew(auth)
                .map_err(|error| Refused::Failed(format!("nothing is changed: {error}")))?;
        }
        Ok(())
    }

    /// Logs so much from now on.
    ///
    /// # Errors
    /// If it is no level.
    pub(super) fn log(&self, level: &str) -> Result<(), Refused> {
        tracing::info!(level, "logging so much from now on");
        let changed = logs::change(&crate::log_file::config(level));
        changed.map_err(|error| Refused::Bad(error.to_string()))
    }

    /// Where a shared daemon mounts what is called `id`.
    fn place(&self, id: &str) -> Result<PathBuf, Refused> {
        let name = id.strip_prefix('/').unwrap_or(id);
        match Path::new(name).components().next() {
            Some(Component::Normal(first)) if first == name => {
                Ok(self.options.mountpoint.join(name))
            }
            _ => Err(Refused::Bad("`mountpoint` must be a slash and one name".to_owned())),
        }
    }
}

fn unknown(id: &str) -> Refused {
    let id: String = id.chars().take(200).collect();
    Refused::Unknown(format!("nothing is mounted at {id}"))
}
