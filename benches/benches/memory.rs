//! What a large blob costs in memory while it streams through a cold cluster.

use benches::blob::BlobFile;
use benches::client::Client;
use benches::nginx::{AccessLog, Files};
use benches::report::{Report, Row};
use benches::rig::Rig;
use benches::usage::PeakMemory;
use testbed::{Bed, Spot};

const ROUNDS: usize = 5;
const REPOSITORY: &str = "bench/large";

fn main() -> anyhow::Result<()> {
    let blob = BlobFile::of(2 << 30, 1)?;
    let bed = Bed::new()?;
    let files = Files::new(&bed.path().join("origin"))?.blob(REPOSITORY, &blob)?;
    let origin = files.serve(&Spot::loopback(), AccessLog::On)?;
    let target = format!("/v2/{REPOSITORY}/blobs/{}?ns={}", blob.digest(), origin.host());
    let mut rig = Rig::start(&Spot::loopback(), &origin.site())?;
    let (mut dfdaemon, mut supernode, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let before = origin.blob_bytes()?;
        let node = PeakMemory::of(rig.node_id()?);
        let center = PeakMemory::of(rig.supernode_id()?);
        Client::connect(rig.mirror())?.get(&target)?;
        dfdaemon.push(node.mib());
        supernode.push(center.mib());
        rig.forget()?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        sent.push((origin.blob_bytes()? - before) as f64 / blob.length() as f64);
    }
    let mut report = Report::new("memory", ROUNDS);
    let case = "2 GiB blob, cold";
    report.add(Row::of(case, "dfdaemon_peak_anon_mib", dfdaemon).at_most(96.0));
    report.add(Row::of(case, "supernode_peak_anon_mib", supernode).at_most(192.0));
    report.add(Row::of(case, "origin_bytes_ratio", sent).against("the blob's length"));
    report.finish()
}
