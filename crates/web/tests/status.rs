//! The pages over a real socket: what they say, and how long and how many they bear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telemetry::health::Health;
use telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use web::status::Status;
use web::{Limits, converse, listen};

const SOON: Duration = Duration::from_secs(10);

async fn port() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What `request` is answered, until the connection ends.
async fn ask(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn health_readiness_and_metrics_are_shown_and_nothing_else() -> anyhow::Result<()> {
    let health = Health::awaiting(["disk"]);
    let metrics = Arc::new(Metrics::new("tested", "1.2.3"));
    let (listener, address) = port().await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(Status::new(metrics, health.clone()).serve(listener, stop.clone()));

    assert!(ask(address, &get("/healthz")).await?.ends_with("ok\n"));
    let starting = ask(address, &get("/readyz")).await?;
    assert!(starting.starts_with("HTTP/1.1 503 ") && starting.contains("\"disk\":\"starting\""));
    health.set("disk", Ok(()));
    assert!(ask(address, &get("/readyz")).await?.starts_with("HTTP/1.1 200 "));
    let page = ask(address, &get("/metrics")).await?;
    assert!(page.contains("openmetrics-text") && page.contains("1.2.3"), "{page}");
    assert!(ask(address, &get("/debug")).await?.starts_with("HTTP/1.1 404 "));
    let post = get("/healthz").replace("GET", "POST");
    assert!(ask(address, &post).await?.starts_with("HTTP/1.1 405 "));
    assert!(ask(address, "garbage\r\n\r\n").await?.starts_with("HTTP/1.1 400 "));

    stop.cancel();
    timeout(SOON, serving).await??;
    Ok(())
}

/// Connections of clients that say nothing end, and make room for the next.
#[tokio::test]
async fn who_says_nothing_does_not_keep_others_out() -> anyhow::Result<()> {
    let limits = Limits { connections: 2, request_within: Duration::from_millis(300) };
    let (listener, address) = port().await?;
    let status = Status::new(Arc::new(Metrics::new("tested", "1")), Health::default());
    let stop = CancellationToken::new();
    let ending = stop.clone();
    let serving = tokio::spawn(async move {
        listen(listener, limits, stop, |stream| {
            let (status, stop) = (status.clone(), ending.clone());
            async move {
                let answer = async |request: http::Request<_>| status.answer(&request);
                converse(stream, limits, stop, answer).await;
            }
        })
        .await;
    });
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(address).await?);
    }
    assert!(ask(address, &get("/healthz")).await?.ends_with("ok\n"));
    for mut stream in silent {
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await??;
        assert!(rest.is_empty());
    }
    serving.abort();
    Ok(())
}
