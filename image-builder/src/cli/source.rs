//! Which image is meant by a word on the command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use tree::Tree;

use crate::layers::{Hashed, tree_of};
use crate::oci::Platform;
use crate::opened::Opened;
use crate::opened::choose::{Want, choose};
use crate::opened::local::{self, BlobsAt};
use crate::opened::store::{Chunked, Reach, open};
use crate::store::{Access, Client};

/// The chunked image that a command looks at.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// The chunked image: a registry reference, oci:FOLDER[:TAG], oci-archive:FILE[:TAG], or the
    /// path of a bootstrap (or of a data blob with one in it), as nydus-image writes them
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    with: With,
}

/// What an image's name does not say.
#[derive(Clone, Debug, Args)]
pub struct With {
    /// Of several images under one name, the one for this platform, as linux/arm64 [default: this
    /// machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// With a bootstrap: the folder of its data blobs, each named by its digest in hex [default:
    /// `blobs` beside it, or its own folder]
    #[arg(short = 'D', long, value_name = "DIR")]
    blob_dir: Option<PathBuf>,
    /// With a bootstrap of one data blob: that blob
    #[arg(short = 'b', long, value_name = "FILE", conflicts_with = "blob_dir")]
    blob: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

/// An image that was opened.
#[derive(Debug)]
pub enum Image {
    /// With its manifest.
    Whole(Box<Chunked>),
    /// A bootstrap and blobs alone.
    Bare(Box<Opened>),
}

impl std::ops::Deref for Image {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        match self {
            Self::Whole(chunked) => &chunked.opened,
            Self::Bare(opened) => opened,
        }
    }
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// If there is no such image, or it is none.
    pub fn open(&self, reach: Reach) -> anyhow::Result<Image> {
        self.with.open(&self.image, reach)
    }

    /// The layers' tree of the ordinary image `name`, cut and hashed as `like` is.
    ///
    /// # Errors
    /// If there is no such image, or a layer is refused.
    pub fn ordinary(
        &self,
        name: &str,
        reading: &layer::Options,
        like: &Opened,
    ) -> anyhow::Result<Tree<Hashed>> {
        let store = Client::new(self.with.access.clone())?.open(&name.parse()?)?;
        let document = choose(&store, Want::Ordinary, self.with.platform.as_ref());
        let document = document.with_context(|| format!("{name} cannot be compared with"))?;
        let manifest = document.manifest().context("it is no image")?;
        let image = like.image();
        let (cut, digester) = (image.chunk_size, image.digester);
        let tree = tree_of(&*store, manifest, reading, cut, digester);
        tree.with_context(|| format!("{name} cannot be read"))
    }
}

impl With {
    /// Opens the image that `name` means.
    ///
    /// # Errors
    /// If there is no such image, or it is none.
    pub fn open(&self, name: &str, reach: Reach) -> anyhow::Result<Image> {
        let context = || format!("{name} cannot be opened");
        if let Some(path) = local::bootstrap_at(name) {
            let blobs = match (&self.blob_dir, &self.blob) {
                (Some(folder), _) => BlobsAt::Folder(folder.clone()),
                (None, Some(file)) => BlobsAt::File(file.clone()),
                (None, None) => BlobsAt::Guess,
            };
            let opened = local::open(&path, &blobs).with_context(context)?;
            return Ok(Image::Bare(Box::new(opened)));
        }
        let store = Client::new(self.access.clone())?.open(&name.parse()?)?;
        let found = choose(&store, Want::Chunked, self.platform.as_ref());
        let chunked = found.and_then(|document| open(store, document, reach));
        Ok(Image::Whole(Box::new(chunked.with_context(context)?)))
    }
}

/// Standard output for much of it. Nobody is left to read it where a pipe is closed: that ends a
/// command, as it does other programs.
pub fn stdout() -> impl Write {
    std::io::BufWriter::with_capacity(256 << 10, std::io::stdout().lock())
}

/// [`stdout`] for what is no text.
///
/// # Errors
/// If it is a terminal.
pub fn binary_stdout() -> anyhow::Result<impl Write> {
    if std::io::stdout().is_terminal() {
        anyhow::bail!("this is not for a terminal: redirect it into a file or a program");
    }
    Ok(stdout())
}

/// Prints one line.
///
/// # Errors
/// If nobody takes it.
pub fn print(line: &impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
