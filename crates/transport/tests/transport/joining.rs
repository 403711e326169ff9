//! How a node becomes one, and stays one.

use std::time::{Duration, SystemTime};

use transport::{Endpoint, Expect, JoinError, JoinString, Limits, Role, join, renew};
use wire::request::Asks;

use crate::rig::{Cluster, address, echoes, local, serve, serve_echo, soon};

fn changed(join: &JoinString, from: usize) -> JoinString {
    let mut text = join.to_string().into_bytes();
    text[from] = if text[from] == b'0' { b'1' } else { b'0' };
    String::from_utf8(text).expect("text").parse().expect("a join string")
}

const HASH_AT: usize = 5;
const SECRET_AT: usize = 5 + 64 + 1;

#[tokio::test]
async fn a_node_joins_and_is_a_member() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    cluster.authority.set_supernodes(vec!["s.example:8002".into()]);
    let with = cluster.authority.join_string(&[address(&supernode)]);
    let identity = soon(join(&with, "n1")).await.expect("joined");
    assert_eq!(identity.peer().to_string(), "node n1");
    assert_eq!(identity.supernodes(), ["s.example:8002"]);
    assert_eq!(identity.verifier(), cluster.authority.verifier());
    let life = identity.expires_at().duration_since(SystemTime::now()).expect("good");
    assert!(life > Duration::from_secs(6 * 24 * 3600), "days");
    let left = identity.expires_at().duration_since(identity.renew_at()).expect("before");
    assert!(left > life / 4 && left < life / 2, "a third");

    let n1 = Endpoint::bind(local(), identity, Limits::default()).expect("bound");
    serve_echo(&supernode);
    let connection = soon(n1.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    assert!(echoes(&connection).await);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_soon_not_heard() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    let right = cluster.authority.join_string(&[address(&supernode)]);
    let wrong = changed(&right, SECRET_AT);
    for _ in 0..5 {
        let error = soon(join(&wrong, "n1")).await.expect_err("refused");
        assert!(matches!(&error, JoinError::Refused(why) if why.contains("secret")), "{error}");
    }
    let error = soon(join(&right, "n1")).await.expect_err("not heard");
    assert!(matches!(&error, JoinError::Refused(why) if why.contains("wait")), "{error}");
}

#[tokio::test]
async fn another_cluster_gets_no_secret() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let supernode = other.supernode();
    let with = cluster.authority.join_string(&[address(&supernode)]);
    let error = soon(join(&with, "n1")).await.expect_err("another cluster");
    assert!(matches!(error, JoinError::WrongCluster { .. }), "{error}");
    let right = other.authority.join_string(&[address(&supernode)]);
    let error = soon(join(&changed(&right, HASH_AT), "n1")).await.expect_err("a wrong hash");
    assert!(matches!(error, JoinError::WrongCluster { .. }), "{error}");
    soon(join(&right, "n1")).await.expect("the right hash");
}

#[tokio::test]
async fn a_node_cannot_let_others_join() {
    let cluster = Cluster::new();
    let node = cluster.node("n1");
    let with = cluster.authority.join_string(&[address(&node)]);
    assert!(soon(join(&with, "n2")).await.is_err());
}

#[tokio::test]
async fn names_are_checked_on_both_sides() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    let with = cluster.authority.join_string(&[address(&supernode)]);
    let error = soon(join(&with, "N 1")).await.expect_err("no name");
    assert!(matches!(error, JoinError::Identity(_)), "{error}");
    let request = crate::trust::Key::new();
    for bad in ["", "N", "../x", &"x".repeat(64)] {
        let issued = cluster.authority.issue(&request.csr, Role::Node, bad, crate::rig::DAY);
        assert!(issued.is_err(), "{bad}");
    }
    let issue = |der: &[u8]| cluster.authority.issue(der, Role::Node, "n1", crate::rig::DAY);
    assert!(issue(&request.csr).is_ok());
    for at in [10, request.csr.len() / 2, request.csr.len() - 1] {
        let mut forged = request.csr.clone();
        forged[at] ^= 1;
        assert!(issue(&forged).is_err(), "a request that its key has not signed");
    }
    assert!(issue(b"").is_err());
    let other_kind = crate::trust::Key::of(&rcgen::PKCS_ED25519);
    assert!(issue(&other_kind.csr).is_err(), "one kind of key is enough");
}

#[tokio::test]
async fn the_name_of_a_connected_node_is_refused_to_others() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    serve_echo(&supernode);
    let elsewhere = "127.0.0.2:0".parse().expect("an address");
    let identity = cluster.identity(Role::Node, "n1");
    let n1 = Endpoint::bind(elsewhere, identity, Limits::default()).expect("bound");
    let connection = soon(n1.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    assert!(echoes(&connection).await);
    let with = cluster.authority.join_string(&[address(&supernode)]);
    let error = soon(join(&with, "n1")).await.expect_err("taken");
    assert!(matches!(&error, JoinError::Refused(why) if why.contains("n1")), "{error}");
    soon(join(&with, "n2")).await.expect("free");
    soon(n1.close()).await;
    drop(connection);
    tokio::time::sleep(Duration::from_millis(200)).await;
    soon(join(&with, "n1")).await.expect("free again");
}

#[tokio::test]
async fn all_addresses_of_a_join_string_are_tried() {
    let cluster = Cluster::new();
    let other = Cluster::new();
    let (supernode, strangers) = (cluster.supernode(), other.supernode());
    let addresses = ["nowhere.invalid:1".into(), address(&strangers), address(&supernode)];
    let with = cluster.authority.join_string(&addresses);
    let identity = soon(join(&with, "n1")).await.expect("joined at the last");
    assert_eq!(identity.supernodes(), addresses, "kept, as the supernode told no others");
}

#[tokio::test]
async fn a_certificate_is_renewed_and_new_connections_use_it() {
    let cluster = Cluster::new();
    let supernode = cluster.supernode();
    let authority = std::sync::Arc::clone(&cluster.authority);
    serve(&supernode, move |connection, asked, mut stream| {
        let authority = std::sync::Arc::clone(&authority);
        async move {
            let Some(Asks::Renew(ask)) = asked.asks else {
                return;
            };
            let joined = authority.renew(&ask.request, connection.peer());
            stream.send(&joined).await.expect("sent");
            stream.done();
        }
    });
    let short = Duration::from_secs(3);
    let old = cluster.authority.identity(Role::Node, "n1", short).expect("signed");
    let n1 = Endpoint::bind(local(), old.clone(), Limits::default()).expect("bound");
    let connection = soon(n1.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    let new = soon(renew(&connection, &old)).await.expect("renewed");
    assert_eq!(new.peer(), old.peer());
    assert!(new.expires_at() > old.expires_at());
    n1.set_identity(new.clone()).expect("usable");
    assert_eq!(n1.identity().expires_at(), new.expires_at());

    // The old connection ends with the old certificate; the next one has the new one, both ways.
    soon(connection.closed()).await;
    assert!(SystemTime::now() + Duration::from_secs(1) >= old.expires_at());
    let again = soon(n1.connect(&address(&supernode), Expect::Supernode)).await.expect("open");
    soon(renew(&again, &new)).await.expect("a good certificate");
    serve_echo(&n1);
    let n2 = cluster.node("n2");
    // Certificates count whole seconds.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let to_n1 = soon(n2.connect(&address(&n1), Expect::Node("n1".into()))).await.expect("open");
    assert!(echoes(&to_n1).await);
}
