//! Which image is meant by a word on the command line.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::opened::Opened;
use crate::opened::local::{self, BlobsAt};

/// The chunked image that a command looks at.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// The chunked image: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG], or the path
    /// of a bootstrap (or of a data blob with one in it), as nydus-image writes them
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    with: With,
}

/// Where the parts of an image are that its name does not say.
#[derive(Clone, Debug, Default, Args)]
pub struct With {
    /// With a bootstrap: the folder of its data blobs, each named by its digest in hex [default:
    /// `blobs` beside it, or its own folder]
    #[arg(short = 'D', long, value_name = "DIR")]
    pub blob_dir: Option<PathBuf>,
    /// With a bootstrap of one data blob: that blob
    #[arg(short = 'b', long, value_name = "FILE", conflicts_with = "blob_dir")]
    pub blob: Option<PathBuf>,
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// If there is no such image, or it is none.
    pub fn open(&self) -> anyhow::Result<Opened> {
        open(&self.image, &self.with)
    }
}

/// Opens the image that `name` means.
///
/// # Errors
/// If there is no such image, or it is none.
pub fn open(name: &str, with: &With) -> anyhow::Result<Opened> {
    let local = local_file(name);
    let path = local.with_context(|| format!("{name} is no chunked image that can be read"))?;
    let blobs = match (&with.blob_dir, &with.blob) {
        (Some(folder), _) => BlobsAt::Folder(folder.clone()),
        (None, Some(file)) => BlobsAt::File(file.clone()),
        (None, None) => BlobsAt::Guess,
    };
    local::open(&path, &blobs).with_context(|| format!("{name} cannot be opened"))
}

/// The file with the bootstrap, if `name` is a path of one, or of a folder that has one.
fn local_file(name: &str) -> Option<PathBuf> {
    if let Some(path) = name.strip_prefix("bootstrap:") {
        return Some(path.into());
    }
    let path = Path::new(name);
    let inside = path.join("bootstrap");
    if inside.is_file() {
        return Some(inside);
    }
    is_image(path).then(|| path.to_owned())
}

/// Whether a file begins as a bootstrap does, or is a data blob with sections.
fn is_image(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let mut magic = [0; 4];
    let erofs = file.read_exact_at(&mut magic, rafs::ondisk::superblock::SUPERBLOCK_AT).is_ok()
        && u32::from_le_bytes(magic) == rafs::ondisk::superblock::MAGIC;
    erofs || local::has_sections(&file)
}

/// Standard output for much of it.
///
/// # Errors
/// If `binary` and it is a terminal.
pub fn stdout(binary: bool) -> anyhow::Result<impl Write> {
    let out = std::io::stdout();
    if binary && out.is_terminal() {
        anyhow::bail!("this is not for a terminal: redirect it into a file or a program");
    }
    Ok(std::io::BufWriter::with_capacity(256 << 10, out.lock()))
}
