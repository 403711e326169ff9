//! A warm mirror against nginx with sendfile: what it costs to send what is here already.

use std::fs;

use anyhow::{Context, ensure};
use benches::blob::BlobFile;
use benches::client::{Client, Load, load};
use benches::nginx::{AccessLog, Files, Nginx, version};
use benches::report::{Report, Row};
use benches::rig::Rig;
use benches::rounds::{Side, Turn, in_turns};
use benches::usage::cpu_seconds;
use content::Digest;
use testbed::{Bed, Spot};

const ROUNDS: usize = 5;
const REPOSITORY: &str = "bench/warm";

/// What is asked for again and again.
struct Case {
    name: &'static str,
    target: String,
    clients: usize,
    /// Requests of each client in a round: enough for about a second of CPU time.
    each: u64,
    cpu_ratio: f64,
    throughput_ratio: Option<f64>,
}

/// What a round cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    load: Load,
}

fn main() -> anyhow::Result<()> {
    let (large, small) = (BlobFile::of(1 << 30, 1)?, BlobFile::of(1 << 20, 1)?);
    let manifest = manifest(&[&large, &small]);
    let bed = Bed::new()?;
    let nginx = |name: &str, log| -> anyhow::Result<Nginx> {
        Files::new(&bed.path().join(name))?
            .blob(REPOSITORY, &large)?
            .blob(REPOSITORY, &small)?
            .manifest(REPOSITORY, "v1", &manifest)?
            .serve(&Spot::loopback(), log)
    };
    let (origin, baseline) = (nginx("origin", AccessLog::On)?, nginx("baseline", AccessLog::Off)?);
    let mut rig = Rig::start(&Spot::loopback(), &origin.site())?;
    let cases = cases(&large, &small, Digest::of(&manifest));

    // Pulled once, and looked at: what is measured are the right bytes.
    for (case, expected) in cases.iter().zip([large.path(), small.path()]) {
        warm(&rig, &origin, case, &fs::read(expected)?)?;
    }
    warm(&rig, &origin, &cases[2], &manifest)?;
    let asked = origin.requests()?;

    let mut report = Report::new("mirror-warm", ROUNDS);
    for case in cases.iter().flat_map(|case| [1, 16].map(|clients| case.with(clients))) {
        eprintln!("{}, {} clients", case.name, case.clients);
        let node = rig.node_id()?;
        let turns = in_turns(ROUNDS, |side| match side {
            Side::Ours => {
                let target = format!("{}?ns={}", case.target, origin.host());
                measure(node, rig.mirror(), &target, &case)
            }
            Side::Baseline => measure(baseline.id(), baseline.address(), &case.target, &case),
        })?;
        add(&mut report, &case, &turns);
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let asked = (origin.requests()? - asked) as f64;
    report.add(Row::of("all of it, warm", "origin_requests", [asked]).at_most(0.0));
    report.finish()
}

fn cases(large: &BlobFile, small: &BlobFile, manifest: Digest) -> [Case; 3] {
    let blob = |blob: &BlobFile| format!("/v2/{REPOSITORY}/blobs/{}", blob.digest());
    let case = |name, target, each, cpu_ratio, throughput_ratio| Case {
        name,
        target,
        clients: 1,
        each,
        cpu_ratio,
        throughput_ratio,
    };
    [
        case("1 GiB blob", blob(large), 16, 2.0, Some(0.7)),
        case("1 MiB blob", blob(small), 6400, 3.0, None),
        case(
            "manifest by digest",
            format!("/v2/{REPOSITORY}/manifests/{manifest}"),
            48_000,
            3.0,
            None,
        ),
    ]
}

impl Case {
    /// As many requests, by so many clients.
    fn with(&self, clients: usize) -> Self {
        let each = self.each / clients as u64;
        Self { target: self.target.clone(), clients, each, ..*self }
    }
}

/// An image manifest that lists these blobs as layers.
fn manifest(layers: &[&BlobFile]) -> Vec<u8> {
    let descriptor = |kind: &str, blob: &BlobFile| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        let digest = blob.digest().to_string();
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": blob.length() })
    };
    let layers: Vec<_> = layers.iter().map(|layer| descriptor("layer.v1.tar", layer)).collect();
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": testbed::image::MANIFEST,
        "config": layers[1],
        "layers": layers,
    })
    .to_string()
    .into_bytes()
}

/// Asks twice, so that what an answer leaves behind is there, and checks the bytes both times.
fn warm(rig: &Rig, origin: &Nginx, case: &Case, expected: &[u8]) -> anyhow::Result<()> {
    let target = format!("{}?ns={}", case.target, origin.host());
    for _ in 0..2 {
        let body = Client::connect(rig.mirror())?.read(&target)?;
        ensure!(body == expected, "{}: wrong bytes", case.name);
    }
    Ok(())
}

fn measure(
    process: u32,
    host: std::net::SocketAddr,
    target: &str,
    case: &Case,
) -> anyhow::Result<Cost> {
    let before = cpu_seconds(process)?;
    let load = load(host, target, case.clients, case.each).context(case.name)?;
    Ok(Cost { cpu: cpu_seconds(process)? - before, load })
}

fn add(report: &mut Report, case: &Case, turns: &[Turn<Cost>]) {
    let name = format!("{}, {} clients", case.name, case.clients);
    let name = if case.clients == 1 { name.trim_end_matches('s') } else { &name };
    let baseline = version();
    let cpu = turns.iter().map(|turn| turn.ours.cpu / turn.baseline.cpu);
    report.add(Row::of(name, "cpu_ratio", cpu).against(&baseline).at_most(case.cpu_ratio));
    let seconds = |cost: Cost| cost.load.time.as_secs_f64();
    let throughput = turns.iter().map(|turn| seconds(turn.baseline) / seconds(turn.ours));
    let row = Row::of(name, "throughput_ratio", throughput).against(&baseline);
    report.add(match case.throughput_ratio {
        Some(limit) => row.at_least(limit),
        None => row,
    });
    #[expect(clippy::cast_precision_loss, reason = "requests of a run are few")]
    let each = |cost: Cost| cost.cpu * 1e6 / cost.load.requests as f64;
    let ours = turns.iter().map(|turn| each(turn.ours));
    report.add(Row::of(name, "cpu_us_per_request", ours));
    let theirs = turns.iter().map(|turn| each(turn.baseline));
    report.add(Row::of(name, "baseline_cpu_us_per_request", theirs).against(&baseline));
}
