//! Pieces are for those who show a ticket of their own, of this cluster, for this task, in time.

use std::time::Duration;

use content::sign::Signer;
use content::{Digest, TaskId};
use testbed::{Bed, DockerRegistry, Hostile, Image, Manner, Node, Supernode};
use wire::data::Verdict;
use wire::{SignedTicket, Ticket};

const MIB: usize = 1 << 20;
const NODE: &str = "meganeura_dfdaemon_fetches_refused_total";
const CACHE: &str = "meganeura_supernode_fetches_refused_total";

struct Rig {
    _bed: Bed,
    registry: DockerRegistry,
    supernode: Supernode,
    holder: Node,
    asker: Hostile,
    image: Image,
}

async fn rig(access: &str) -> anyhow::Result<Rig> {
    let bed = Bed::new()?;
    let registry = bed.registry().start().await?;
    let image = Image::random(&[3 * MIB, 2 * MIB]);
    registry.push("demo/app", "v1", &image).await?;
    let supernode = bed.supernode_with(&registry.site(), access).await?;
    let holder = bed.node("holder", &supernode).await?;
    holder.pull(&registry.host(), "demo/app", "v1").await?;
    let asker = hostile(&supernode, "asker").await?;
    Ok(Rig { _bed: bed, registry, supernode, holder, asker, image })
}

async fn hostile(supernode: &Supernode, name: &str) -> anyhow::Result<Hostile> {
    Hostile::join(supernode, name, Manner::Missing, bytes::Bytes::new()).await
}

impl Rig {
    fn task(&self, layer: usize) -> String {
        self.image.layer(layer).to_string()
    }

    async fn ticket(&self, who: &Hostile, layer: usize) -> anyhow::Result<SignedTicket> {
        let opened = who.open(&self.registry.host(), "demo/app", self.image.layer(layer)).await?;
        opened.ticket.ok_or_else(|| anyhow::anyhow!("no ticket"))
    }

    /// Shows `ticket` for the first layer to whoever has it: all refuse, count it, and send nothing.
    async fn refused(&self, what: &str, ticket: Option<SignedTicket>) -> anyhow::Result<()> {
        let task = self.task(0);
        let sent = "meganeura_dfdaemon_sent_bytes_total";
        let before = (self.holder.metric(NODE).await?, self.supernode.metric(CACHE).await?);
        let sent_before = self.holder.metric(sent).await?;
        let got = self.asker.fetch(&self.holder, &task, ticket.clone()).await?;
        assert_eq!((got.verdict, got.payload), (Verdict::Refused, 0), "{what}");
        let got = self.asker.fetch_cache(&task, ticket.clone()).await?;
        assert_eq!((got.verdict, got.payload), (Verdict::Refused, 0), "{what}, at the cache");
        let told = self.asker.describe(&self.holder, &task, ticket).await?;
        assert_eq!(told.verdict(), Verdict::Refused, "{what}");
        let silent = told.statements.is_empty() && told.pieces.is_empty() && told.peers.is_empty();
        assert!(silent, "{what}: it was told of the task: {told:?}");
        let after = (self.holder.metric(NODE).await?, self.supernode.metric(CACHE).await?);
        assert_eq!(after, (before.0 + 2, before.1 + 1), "{what}: not counted");
        assert_eq!(self.holder.metric(sent).await?, sent_before, "{what}: bytes were sent");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ones_own_ticket_for_the_task_opens_it() -> anyhow::Result<()> {
    let rig = rig("").await?;
    let other = hostile(&rig.supernode, "other").await?;
    rig.refused("no ticket", None).await?;
    rig.refused("an empty ticket", Some(SignedTicket::default())).await?;
    rig.refused("another node's", Some(rig.ticket(&other, 0).await?)).await?;
    rig.refused("another task's", Some(rig.ticket(&rig.asker, 1).await?)).await?;
    let stranger = Signer::from_seed(&[7; 32]).map_err(|_| anyhow::anyhow!("a seed"))?;
    let forged =
        Ticket { task: TaskId::Blob(rig.image.layer(0)), expires: u64::MAX, node: "asker".into() };
    rig.refused("a forged one", Some(forged.sign(&stranger))).await?;
    let good = rig.ticket(&rig.asker, 0).await?;
    let mut longer = good.clone();
    // The expiry follows the task's kind and name.
    longer.body[33] = 0x7f;
    rig.refused("one made longer", Some(longer)).await?;

    // The same asker with the right ticket: what was refused was the ticket.
    let piece = 64 * 1024;
    let got = rig.asker.fetch(&rig.holder, &rig.task(0), Some(good.clone())).await?;
    assert_eq!((got.verdict, got.payload), (Verdict::Follows, piece));
    let got = rig.asker.fetch_cache(&rig.task(0), Some(good.clone())).await?;
    assert_eq!((got.verdict, got.payload), (Verdict::Follows, piece));
    let told = rig.asker.describe(&rig.holder, &rig.task(0), Some(good)).await?;
    assert_eq!(told.verdict(), Verdict::Follows);
    assert!(!told.statements.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_ends() -> anyhow::Result<()> {
    let rig = rig("access.ticket = \"2s\"").await?;
    let ticket = rig.ticket(&rig.asker, 0).await?;
    let got = rig.asker.fetch(&rig.holder, &rig.task(0), Some(ticket.clone())).await?;
    assert_eq!(got.verdict, Verdict::Follows, "a fresh one is good");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    rig.refused("an old one", Some(ticket)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_none_are_refused_like_unknown_ones() -> anyhow::Result<()> {
    let rig = rig("").await?;
    let unknown = Digest::of(b"nobody has this").to_string();
    for task in ["", "sha256:", "../../etc/passwd", "sha256:zz", &"x".repeat(100_000), &unknown] {
        let got = rig.asker.fetch(&rig.holder, task, None).await?;
        assert_eq!((got.verdict, got.payload), (Verdict::Refused, 0), "{:.40}", task);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_want_of_what_was_never_opened_gets_no_lease() -> anyhow::Result<()> {
    let mut rig = rig("").await?;
    let want = wire::control::NodeSays::Want(wire::control::Want {
        task: rig.task(0),
        first: 0,
        end: 8,
        reader_at: 0,
        priority: 1,
    });
    rig.asker.say(want.clone()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let leases = rig.asker.leases();
    assert!(leases.is_empty(), "it was given a ticket for what it may not have: {leases:?}");

    // Once it has opened the task, the same want is answered.
    rig.ticket(&rig.asker, 0).await?;
    rig.asker.say(want).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!rig.asker.leases().is_empty());
    Ok(())
}
