//! What a gibibyte costs over QUIC and over TCP: server and client as two processes on loopback.
//!
//!     cargo run --release -p meganeura-transport --example bulk_cost [-- rounds [MiB [piece KiB]]]
//!
//! CPU seconds are those of the operating system's accounts, over both processes; rounds are
//! interleaved. A run of pieces is asked for as peers do it: a request, then for each piece a
//! message and its bytes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use transport::{Authority, Connection, Endpoint, Expect, Limits, Role};
use wire::control::Unwant;
use wire::request::{Asks, Control, Request};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PIECES_IN_A_RUN: usize = 16;

fn main() -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    if arguments.first().is_some_and(|first| first == "serve") {
        return runtime.block_on(serve(&arguments[1]));
    }
    let folder = std::env::temp_dir().join(format!("bulk-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = runtime.block_on(measure(
        &folder.join("authority.json").to_string_lossy(),
        number(0, 5),
        number(1, 512) << 20,
        number(2, 1024) << 10,
    ));
    std::fs::remove_dir_all(&folder)?;
    done
}

fn identity(authority: &Authority, name: &str) -> Result<transport::Identity, Failure> {
    Ok(authority.identity(Role::Node, name, Duration::from_secs(3600))?)
}

async fn serve(authority: &str) -> Result<(), Failure> {
    let authority = Authority::load_or_create(authority.as_ref())?;
    let identity = identity(&authority, "server")?;
    let endpoint = Endpoint::bind("127.0.0.1:0".parse()?, identity, Limits::default())?;
    println!("{}", endpoint.local_addr());
    std::io::stdout().flush()?;
    let block = Bytes::from(vec![0xa5; 1 << 20]);
    while let Some(connection) = endpoint.accept().await {
        let block = block.clone();
        tokio::spawn(async move {
            while let Some((request, mut stream)) = connection.accept().await {
                let block = block.clone();
                tokio::spawn(async move {
                    let piece: usize = request.request_id.parse().unwrap_or(0);
                    for _ in 0..PIECES_IN_A_RUN {
                        stream.send(&Unwant::default()).await?;
                        stream.send_bytes(block.slice(..piece)).await?;
                    }
                    stream.done();
                    Ok::<_, transport::TransportError>(())
                });
            }
        });
    }
    Ok(())
}

async fn measure(
    authority: &str,
    rounds: usize,
    length: usize,
    piece: usize,
) -> Result<(), Failure> {
    let cluster = Authority::load_or_create(authority.as_ref())?;
    let mut server = Command::new(std::env::current_exe()?)
        .args(["serve", authority])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    let out = server.stdout.take().ok_or("no output")?;
    BufReader::new(out).read_line(&mut address)?;
    let client =
        Endpoint::bind("127.0.0.1:0".parse()?, identity(&cluster, "client")?, Limits::default())?;
    let to = Expect::Node("server".into());
    let connection = client.connect(address.trim(), to).await?;
    println!(
        "{} MiB in pieces of {} KiB, best and worst of {rounds} rounds",
        length >> 20,
        piece >> 10
    );
    println!("{:10} {:>14} {:>22} {:>22}", "", "GB/s", "client CPU s/GiB", "server CPU s/GiB");
    for at_once in [1, 4] {
        let mut rows = [Row::default(), Row::default()];
        for _ in 0..rounds {
            for (bulk, row) in [false, true].into_iter().zip(&mut rows) {
                row.push(round(&connection, bulk, length, piece, at_once, server.id()).await?);
            }
        }
        for (name, row) in ["QUIC", "TCP+TLS"].iter().zip(&rows) {
            println!("{:10} {row}", format!("{name} x{at_once}"));
        }
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

#[derive(Default)]
struct Row(Vec<[f64; 3]>);

impl Row {
    fn push(&mut self, figures: [f64; 3]) {
        self.0.push(figures);
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for at in 0..3 {
            let low = self.0.iter().map(|row| row[at]).fold(f64::INFINITY, f64::min);
            let high = self.0.iter().map(|row| row[at]).fold(0.0, f64::max);
            write!(f, "{:>12}", format!("{low:.2} .. {high:.2}"))?;
            write!(f, "{:10}", "")?;
        }
        Ok(())
    }
}

async fn round(
    connection: &Connection,
    bulk: bool,
    length: usize,
    piece: usize,
    at_once: usize,
    server: u32,
) -> Result<[f64; 3], Failure> {
    let runs = length / (piece * PIECES_IN_A_RUN);
    let (ours, theirs) = (cpu("self")?, cpu(&server.to_string())?);
    let started = Instant::now();
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(runs));
    let mut fetching = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (connection, left) = (connection.clone(), Arc::clone(&left));
        fetching.spawn(async move {
            use std::sync::atomic::Ordering::Relaxed;
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                fetch(&connection, bulk, piece).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = fetching.join_next().await {
        done??;
    }
    let took = started.elapsed().as_secs_f64();
    let bytes = (runs * piece * PIECES_IN_A_RUN) as f64;
    let gib = bytes / f64::from(1_u32 << 30);
    Ok([
        bytes / 1e9 / took,
        (cpu("self")? - ours) / gib,
        (cpu(&server.to_string())? - theirs) / gib,
    ])
}

async fn fetch(connection: &Connection, bulk: bool, piece: usize) -> Result<(), Failure> {
    let request = Request { request_id: piece.to_string(), asks: Some(Asks::Control(Control {})) };
    let mut stream = match bulk {
        true => connection.open_bulk(&request).await?,
        false => connection.open(&request).await?,
    };
    if stream.is_tcp() != bulk {
        return Err("the stream took another way".into());
    }
    for _ in 0..PIECES_IN_A_RUN {
        stream.recv::<Unwant>().await?.ok_or("an early end")?;
        let mut left = piece;
        while left > 0 {
            left -= stream.recv_bytes(left).await?.ok_or("an early end")?.len();
        }
    }
    stream.done();
    Ok(())
}

/// The CPU seconds of a process so far (user and system; 100 ticks a second on Linux).
fn cpu(process: &str) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let rest = text.rsplit_once(')').ok_or("no stat")?.1;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}
