//! The way of a file, from the question to its final name.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use crate::args::Fetch;
use crate::error::Error;
use crate::part::Part;
use crate::progress::Progress;
use crate::source::{Source, is_credential};
use crate::{alone, daemon};

/// A stream that breaks off is taken up again so often without progress.
const TRIES: u32 = 5;

/// An open answer: the bytes from `start` on.
#[derive(Debug)]
pub struct Answer {
    /// The first byte that comes.
    pub start: u64,
    /// The length of the whole, if it is known.
    pub total: Option<u64>,
    /// The state of the content.
    pub tag: Option<String>,
    /// The bytes.
    pub stream: Stream,
}

/// Where the bytes come from.
#[derive(Debug)]
pub enum Stream {
    /// The dfdaemon.
    Daemon(daemon::Stream),
    /// A URL, straight.
    Url(Box<registry::UrlStream>),
    /// A registry's blob, straight.
    Blob(Box<registry::BlobStream>),
    /// Nothing is missing.
    Empty,
}

impl Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = match self {
            Self::Daemon(stream) => return stream.next().await,
            Self::Url(stream) => stream.next().await,
            Self::Blob(stream) => stream.next().await,
            Self::Empty => None,
        };
        Ok(next.transpose()?)
    }

    const fn way(&self) -> &'static str {
        match self {
            Self::Daemon(_) | Self::Empty => "swarm",
            Self::Url(_) | Self::Blob(_) => "origin",
        }
    }
}

/// Fetches what `args` ask for.
///
/// # Errors
/// Why there is no file.
pub async fn get(args: &Fetch) -> Result<(), Error> {
    let started = Instant::now();
    let source = Source::read(&args.url)?;
    if args.output.exists() && !args.overwrite {
        let there = format!("{} is there already; --overwrite replaces it", args.output.display());
        return Err(Error::Usage(there));
    }
    let mut part = Part::open(&args.output, &args.url)?;
    let name = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut progress = Progress::new(&name, args.json, args.quiet);
    let mut tries = 0;
    let way = loop {
        let before = part.length();
        match attempt(args, &source, &mut part, &mut progress).await {
            Ok(way) => break way,
            Err(Error::Unreachable(why)) => {
                tries = if part.length() > before { 0 } else { tries + 1 };
                if tries >= TRIES {
                    return Err(Error::Unreachable(why));
                }
                tokio::time::sleep(Duration::from_millis(200 << tries)).await;
            }
            Err(error) => return Err(error),
        }
    };
    let bytes = part.length();
    let expected: Vec<_> = [source.digest(), args.digest].into_iter().flatten().collect();
    let digest = part.finish(&expected)?;
    progress.done(&json!({
        "event": "done", "bytes": bytes, "digest": digest, "way": way,
        "seconds": started.elapsed().as_secs_f64(), "file": args.output,
    }));
    Ok(())
}

async fn attempt(
    args: &Fetch,
    source: &Source,
    part: &mut Part,
    progress: &mut Progress,
) -> Result<&'static str, Error> {
    let mut answer = open(args, source, part).await?;
    if answer.start != part.length() || answer.tag.as_deref() != part.tag() {
        part.restart(&args.url, answer.tag.as_deref())?;
    }
    let way = answer.stream.way();
    while let Some(bytes) = answer.stream.next().await? {
        part.push(&bytes)?;
        progress.at(part.length(), answer.total);
    }
    match answer.total {
        Some(total) if total != part.length() => Err(Error::Unreachable(format!(
            "{} ended after {} of {total} bytes",
            source.shown(),
            part.length()
        ))),
        _ => Ok(way),
    }
}

async fn open(args: &Fetch, source: &Source, part: &Part) -> Result<Answer, Error> {
    // A registry checks its own credentials; with a URL's the swarm could not tell whose file it is.
    let secret = matches!(source, Source::Url(_))
        && args.headers.iter().any(|(name, _)| is_credential(name));
    let plain = !matches!(source, Source::Url(_)) || args.headers.is_empty();
    if !secret && plain {
        let authorization = alone::authorization(args);
        let asked = daemon::open(&args.socket, source, authorization, args.digest, part).await;
        match asked {
            Ok(Some(answer)) => return Ok(answer),
            Err(Error::NotShared(_)) | Ok(None) if !args.no_fallback => {}
            Ok(None) => {
                let socket = args.socket.display();
                return Err(Error::Unreachable(format!("no dfdaemon answers at {socket}")));
            }
            Err(error) => return Err(error),
        }
    }
    alone::open(source, args, part).await
}
