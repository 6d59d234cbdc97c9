//! The states, one cluster each: all pages are run on it.

use std::time::Duration;

use etcd_client::Client;
use etcdtop::lab::{Spec, Tls};
use etcdtop::model::Bytes;
use serde_json::Value;

use super::world::World;
use crate::support::certs::Certs;
use crate::support::cluster::TestCluster;
use crate::support::operate::fill;
use crate::support::proxy::Proxy;
use crate::support::wait_for;

/// Members that answer, by etcdtop.
fn answering(world: &World) -> u64 {
    let output = world.etcdtop(&["status", "-o", "json", "--metrics-interval", "0"]);
    serde_json::from_str::<Value>(&output.out).unwrap()["members_ok"].as_u64().unwrap()
}

/// One cluster from whole to lost: the commands of a healthy one first, then a member stops, then dies, then another.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_healthy_until_it_is_not() {
    let mut cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 8, 100);
    let mut world = World::beside(&cluster);
    world.run_all("healthy");
    let folder = world.folder().join("backups");
    let clear = || std::fs::remove_dir_all(&folder).and_then(|()| std::fs::create_dir(&folder)).unwrap();
    clear();
    let saved = |args: &[&str]| {
        let saved = world.etcdtop(args);
        assert_eq!(saved.code, 0, "{}", saved.all());
    };
    saved(&["snapshot", "save", "/var/backups/etcd/older.db"]);
    cluster.etcdctl(&["put", "later", "x"]);
    saved(&["snapshot", "save", "/var/backups/etcd/prod.db"]);
    // One that etcdtop knows nothing of.
    std::fs::copy(folder.join("prod.db"), folder.join("foreign.db")).unwrap();
    // They are looked at with no cluster in reach.
    world.set("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1");
    world.run_all("snapshot-folder");
    world.set("ETCDCTL_ENDPOINTS", cluster.endpoints_text());
    clear();
    cluster.stop(2).unwrap();
    wait_for("a leader among those that go on", || (answering(&world) == 2).then_some(()));
    world.run_all("member-hung");
    cluster.cont(2).unwrap();
    cluster.kill(2);
    wait_for("a leader among those that are left", || (answering(&world) == 2).then_some(()));
    world.run_all("member-down");
    clear();
    cluster.kill(1);
    wait_for("that nobody leads", || (answering(&world) == 0).then_some(()));
    world.run_all("no-quorum");
    eprintln!("{} commands", world.ran);
}

/// Puts until there is no space: many revisions of a few keys, or each key once.
async fn fill_up(cluster: &TestCluster, prefix: &str, keys: usize, bytes: usize) {
    let at: Vec<_> = cluster.endpoints().iter().map(|e| e.raw().to_owned()).collect();
    let client = Client::connect(&at[..1], None).await.unwrap();
    let value = vec![b'x'; bytes];
    let mut next = 0;
    loop {
        // Several at a time: each waits for the disks of two members.
        let first = next;
        next += 8;
        let puts = (first..next).map(|i| {
            let (mut client, key) = (client.clone(), format!("{prefix}{}", i % keys));
            let value = value.clone();
            tokio::spawn(async move { client.put(key, value, None).await })
        });
        for put in puts.collect::<Vec<_>>() {
            if let Err(e) = put.await.unwrap() {
                assert!(e.to_string().contains("database space exceeded"), "{e}");
                return;
            }
        }
    }
}

async fn small(members: usize) -> TestCluster {
    let spec = Spec { members, version: Some("3.6".into()), quota: Some(Bytes(16 << 20)), ..Spec::default() };
    TestCluster::start(spec).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_out_of_space() {
    let cluster = small(3).await;
    let mut world = World::beside(&cluster);
    for block in super::blocks::of("nospace") {
        if cluster.etcdctl(&["alarm", "list"]).is_empty() {
            // More than the revisions that a recovery keeps.
            fill_up(&cluster, "/registry/events/", 40, 6_000).await;
        }
        world.run(&block);
    }
    eprintln!("{} commands", world.ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_its_keys_fill() {
    let cluster = small(1).await;
    let mut world = World::beside(&cluster);
    cluster.etcdctl(&["put", "settings/a", "1"]);
    fill_up(&cluster, "reports/", 1_000_000, 500_000).await;
    world.run_all("nospace-full");
    eprintln!("{} commands", world.ran);
}

/// A password in a file, as the pages name it.
fn password(world: &World, name: &str, password: &str) {
    use std::os::unix::fs::PermissionsExt;
    let file = world.folder().join("etc").join(name);
    std::fs::write(&file, password).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_authentication() {
    let cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 4, 100);
    for args in
        [&["user", "add", "root:s3cret"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        cluster.etcdctl(args);
    }
    let mut world = World::beside(&cluster);
    password(&world, "password", "s3cret\n");
    password(&world, "reader", "reads\n");
    world.run_all("auth");
    eprintln!("{} commands", world.ran);
}

/// The client's files where kubeadm has them, and none in the environment.
fn pki(world: &mut World, certs: &Certs) {
    let client = certs.issue("client", &["healthcheck"], 2099);
    let pki = world.folder().join("pki");
    std::fs::create_dir(&pki).unwrap();
    for (from, to) in [
        (&certs.ca(), "ca.crt"),
        (&client.cert, "healthcheck-client.crt"),
        (&client.key, "healthcheck-client.key"),
    ] {
        std::fs::copy(from, pki.join(to)).unwrap();
    }
    world.place("/etc/kubernetes/pki/etcd", pki.display().to_string());
    for name in ["ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"] {
        world.unset(name);
    }
}

/// What the members need before they are there.
fn tls_of(certs: &Certs, names: &[&str]) -> Tls {
    let server = certs.issue("server", names, 2099);
    Tls { ca: certs.ca(), cert: server.cert, key: server.key, client_auth: true, own: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_certificates() {
    let certs = Certs::new();
    let tls = tls_of(&certs, &["127.0.0.1", "localhost", "etcd-1"]);
    let spec = Spec { version: Some("3.6".into()), tls: Some(tls), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let mut world = World::beside(&cluster);
    pki(&mut world, &certs);
    world.run_all("tls");
    eprintln!("{} commands", world.ran);
}

/// Members that advertise what nobody reaches from here, each behind the local end of a tunnel. Their certificates are for
/// the members' own addresses and not for that of the tunnel, which here is 127.0.0.2: etcd itself dials 127.0.0.1.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_behind_tunnels() {
    let certs = Certs::new();
    let tls = tls_of(&certs, &["127.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "etcd.example.com"]);
    let advertised = (1..=3).map(|i| format!("https://192.0.2.{i}:2379")).collect();
    let spec = Spec { version: Some("3.6".into()), tls: Some(tls), advertised, ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let mut world = World::beside(&cluster);
    pki(&mut world, &certs);
    world.unset("ETCDCTL_ENDPOINTS");
    let mut tunnels = Vec::new();
    for (i, member) in (1..).zip(cluster.members()) {
        let target = member.client.raw().trim_start_matches("https://").to_owned();
        let tunnel = Proxy::at("127.0.0.2:0", target).await;
        world.place(format!("127.0.0.1:{i}2379"), tunnel.address.clone());
        tunnels.push(tunnel);
    }
    let block = tokio::task::spawn_blocking(move || {
        world.run_all("tunnel");
        world.ran
    });
    let ran = tokio::time::timeout(Duration::from_secs(120), block).await.unwrap().unwrap();
    eprintln!("{ran} commands");
}
