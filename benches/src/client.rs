//! A load client that costs little: it throws bodies away in the kernel (`MSG_TRUNC`), so that what
//! is measured is the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::net::RecvFlags;

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    host: SocketAddr,
    buffer: Vec<u8>,
    /// Where in the buffer the last answer's body began.
    body_at: usize,
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Bytes of the body.
    pub bytes: u64,
    /// From the request to the body's first byte.
    pub first_byte: Duration,
    /// From the request to the body's last byte.
    pub time: Duration,
}

/// What many requests together came to.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many there were.
    pub requests: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// From the first request to the last byte of the last answer.
    pub time: Duration,
}

/// So much is thrown away with one call at most.
const AT_ONCE: usize = 1 << 20;

/// An answer that does not go on for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(host: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(host).with_context(|| format!("nobody is at {host}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, host, buffer: vec![0; AT_ONCE], body_at: 0 })
    }

    /// GETs `target` and keeps the body, to look at it.
    ///
    /// # Errors
    /// If the answer is not 200 or 206, or ends short.
    pub fn read(&mut self, target: &str) -> anyhow::Result<Vec<u8>> {
        self.ask(target)?;
        let (length, read) = self.head().with_context(|| format!("GET {target}"))?;
        let (length, read) = (usize::try_from(length)?, usize::try_from(read)?);
        let mut body = vec![0; length];
        let start = self.body_at;
        body[..read].copy_from_slice(&self.buffer[start..start + read]);
        self.socket.read_exact(&mut body[read..]).with_context(|| format!("GET {target}"))?;
        Ok(body)
    }

    fn ask(&mut self, target: &str) -> std::io::Result<()> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.socket.write_all(request.as_bytes())
    }

    /// GETs `target` and throws the body away.
    ///
    /// # Errors
    /// If the answer is not 200 or 206, or ends short.
    pub fn get(&mut self, target: &str) -> anyhow::Result<Answered> {
        let started = Instant::now();
        self.ask(target)?;
        let (length, mut read) = self.head().with_context(|| format!("GET {target}"))?;
        let mut first_byte = (read > 0).then(|| started.elapsed());
        while read < length {
            let most = usize::try_from(length - read).unwrap_or(usize::MAX).min(AT_ONCE);
            let part = &mut self.buffer[..most];
            let (_, count) = rustix::net::recv(&self.socket, part, RecvFlags::TRUNC)
                .with_context(|| format!("GET {target} after {read} of {length} bytes"))?;
            ensure!(count > 0, "GET {target} ended after {read} of {length} bytes");
            first_byte.get_or_insert_with(|| started.elapsed());
            read += count as u64;
        }
        let time = started.elapsed();
        Ok(Answered { bytes: length, first_byte: first_byte.unwrap_or(time), time })
    }

    /// The body's length, and how much of it came with the head.
    fn head(&mut self) -> anyhow::Result<(u64, u64)> {
        let mut filled = 0;
        let end = loop {
            let count = self.socket.read(&mut self.buffer[filled..filled + 4096])?;
            ensure!(count > 0, "the connection ended before the answer");
            filled += count;
            let place = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n");
            match place {
                Some(place) => break place + 4,
                None => ensure!(filled < 64 << 10, "the answer's head does not end"),
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status != "200" && status != "206" {
            bail!("{}", String::from_utf8_lossy(&self.buffer[..filled]));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.context("no content-length")?.trim().parse()?;
        self.body_at = end;
        Ok((length, (filled - end) as u64))
    }
}

/// `clients` connections at once, each of which GETs `target` `each` times.
///
/// # Errors
/// If one answer is not as it should be.
pub fn load(host: SocketAddr, target: &str, clients: usize, each: u64) -> anyhow::Result<Load> {
    let started = Instant::now();
    let run = || -> anyhow::Result<u64> {
        let mut client = Client::connect(host)?;
        (0..each).map(|_| client.get(target).map(|answer| answer.bytes)).sum()
    };
    let bytes = std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        let done = running.into_iter().map(|run| run.join().expect("a client does not panic"));
        done.sum::<anyhow::Result<u64>>()
    })?;
    Ok(Load { requests: clients as u64 * each, bytes, time: started.elapsed() })
}
