//! podman and skopeo: both pull by `containers/image`, and read a registries.conf.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cluster::Bed;
use crate::tool::{Tool, tool};

/// podman and skopeo, with a storage and a configuration of the test's own.
#[derive(Debug)]
pub struct Podman {
    home: PathBuf,
    conf: PathBuf,
}

impl Podman {
    /// A podman that has nothing, and knows `registry` by the given mirrors, `host[:port]/path`
    /// each, asked by plain HTTP in turn before the registry itself, which is at `location`.
    ///
    /// # Errors
    /// If the disk says no.
    pub fn new(
        bed: &Bed,
        registry: &str,
        mirrors: &[String],
        location: &str,
    ) -> anyhow::Result<Self> {
        let home = bed.path().join("podman");
        std::fs::create_dir_all(&home)?;
        let mut conf = format!(
            "unqualified-search-registries = []\n[[registry]]\nprefix = \"{registry}\"\n\
             location = \"{location}\"\ninsecure = true\n"
        );
        for mirror in mirrors {
            write!(conf, "[[registry.mirror]]\nlocation = \"{mirror}\"\ninsecure = true\n")?;
        }
        let file = home.join("registries.conf");
        std::fs::write(&file, conf)?;
        std::fs::write(
            home.join("policy.json"),
            r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
        )?;
        Ok(Self { home, conf: file })
    }

    fn podman(&self) -> Tool {
        let dir = |name: &str| self.home.join(name).display().to_string();
        // The storage driver that works on every filesystem.
        tool("podman", "podman")
            .env("CONTAINERS_REGISTRIES_CONF", &self.conf)
            .args(["--root", &dir("root"), "--runroot", &dir("run"), "--tmpdir", &dir("tmp")])
            .args(["--storage-driver", "vfs", "--events-backend", "none"])
            .args(["--cgroup-manager", "cgroupfs"])
    }

    /// `podman pull`; the image's id, which is its config's digest.
    ///
    /// # Errors
    /// What podman says.
    pub async fn pull(&self, reference: &str) -> anyhow::Result<String> {
        let policy = self.home.join("policy.json");
        let pull = self.podman().args(["pull", "--quiet", "--signature-policy"]).args([policy]);
        Ok(String::from_utf8(pull.args([reference]).run().await?)?.trim().to_owned())
    }

    /// The digests of the layers of an image that was pulled, unpacked.
    ///
    /// # Errors
    /// What podman says.
    pub async fn layers(&self, reference: &str) -> anyhow::Result<Vec<String>> {
        let told = self.podman().args(["image", "inspect", reference]).run().await?;
        let told: serde_json::Value = serde_json::from_slice(&told)?;
        let layers = told[0]["RootFS"]["Layers"].as_array().cloned().unwrap_or_default();
        Ok(layers.iter().filter_map(|layer| layer.as_str().map(ToOwned::to_owned)).collect())
    }

    /// skopeo with these arguments; what it printed.
    ///
    /// # Errors
    /// What skopeo says.
    pub async fn skopeo<const N: usize>(&self, args: [&str; N]) -> anyhow::Result<String> {
        let skopeo = tool("skopeo", "skopeo");
        Ok(String::from_utf8(
            skopeo
                .args(["--insecure-policy", "--registries-conf"])
                .args([&self.conf])
                .args(args)
                .run()
                .await?,
        )?)
    }

    /// A folder for what skopeo is to write.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}
