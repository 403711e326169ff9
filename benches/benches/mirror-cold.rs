//! A cold pull through a cold cluster against the same client straight from the registry, which is
//! behind a link of 200 Mbit/s.

use std::time::Duration;

use anyhow::ensure;
use benches::blob::BlobFile;
use benches::client::{Answered, Client};
use benches::net::{Link, Net, isolated};
use benches::nginx::{AccessLog, Files};
use benches::report::{Report, Row};
use benches::rig::Rig;
use benches::rounds::{Side, in_turns};
use testbed::Bed;

const ROUNDS: usize = 5;
const REPOSITORY: &str = "bench/large";
const MBIT: u32 = 200;

fn main() -> anyhow::Result<()> {
    isolated(measure)
}

fn measure() -> anyhow::Result<()> {
    let blob = BlobFile::of(1 << 30, 1)?;
    let bed = Bed::new()?;
    let mut net = Net::new()?;
    let far = net.host(Link { up: MBIT, down: MBIT })?;
    let files = Files::new(&bed.path().join("origin"))?.blob(REPOSITORY, &blob)?;
    let origin = files.serve(&far, AccessLog::On)?;
    let target = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest());
    let through = format!("{target}?ns={}", origin.host());
    let mut rig = Rig::start(&net.here(), &origin.site())?;

    let turns = in_turns(ROUNDS, |side| {
        let sent = origin.blob_bytes()?;
        let answered = match side {
            Side::Baseline => Client::connect(origin.address())?.get(&target)?,
            Side::Ours => {
                let answered = Client::connect(rig.mirror())?.get(&through)?;
                rig.forget()?;
                answered
            }
        };
        ensure!(answered.bytes == blob.length(), "{} bytes came", answered.bytes);
        let sent = origin.blob_bytes()? - sent;
        Ok((answered, sent))
    })?;

    let case = format!("1 GiB blob, cold, {MBIT} Mbit/s");
    let mut report = Report::new("mirror-cold", ROUNDS);
    let straight = "the same client straight from the registry";
    let ratio = turns.iter().map(|turn| seconds(turn.ours.0) / seconds(turn.baseline.0));
    report.add(Row::of(&case, "time_ratio", ratio).against(straight).at_most(1.10));
    let first = turns.iter().map(|turn| first_byte(turn.ours.0));
    report.add(Row::of(&case, "first_byte_ms", first).against(straight));
    let theirs = turns.iter().map(|turn| first_byte(turn.baseline.0));
    report.add(Row::of(&case, "baseline_first_byte_ms", theirs));
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let sent = turns.iter().map(|turn| turn.ours.1 as f64 / turn.baseline.1 as f64);
    report.add(Row::of(&case, "origin_bytes_ratio", sent).against(straight));
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = turns.iter().map(|turn| (blob.length() * 8) as f64 / seconds(turn.baseline.0) / 1e6);
    report.add(Row::of(&case, "link_mbit", rate).against("as the straight client had it"));
    report.finish()
}

fn seconds(answered: Answered) -> f64 {
    answered.time.as_secs_f64()
}

fn first_byte(answered: Answered) -> f64 {
    let first: Duration = answered.first_byte;
    first.as_secs_f64() * 1e3
}
