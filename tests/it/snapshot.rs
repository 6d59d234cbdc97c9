//! Snapshot files of real clusters, beside what etcdutl tells of them.

use std::path::Path;
use std::process::Command;

use etcdtop::lab::{Binaries, Spec};
use serde_json::{Value, json};

use crate::cli::{json as stdout_json, run};
use crate::support::cluster::TestCluster;

/// `snapshot status` of an etcdutl (of etcdctl before there was one).
fn theirs(version: &str, file: &Path) -> Value {
    let binaries = Binaries::find(Some(version)).unwrap();
    let program =
        if version == "3.4" { binaries.etcdctl.clone() } else { binaries.etcdctl.with_file_name("etcdutl") };
    let output = Command::new(program)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "status", "-w", "json"])
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ours is theirs, of every version of the tool.
fn agrees(file: &Path, what: &str) -> Value {
    let path = file.to_str().unwrap();
    let ours = stdout_json(&run(&["snapshot", "status", path, "-o", "json"]));
    for version in ["3.4", "3.5", "3.6", "3.7"] {
        let theirs = theirs(version, file);
        let keys = if matches!(version, "3.4" | "3.5") { "totalEntries" } else { "totalKey" };
        let same =
            [("hash", "hash"), ("revision", "revision"), ("totalSize", "totalSize"), (keys, "totalKey")];
        for (our, their) in same {
            assert_eq!(ours[our], theirs[their], "{what}: {our} beside etcdutl {version}: {ours} {theirs}");
        }
        if let Some(version) = theirs.get("version") {
            assert_eq!(&ours["version"], version, "{what}");
        }
    }
    // A real etcd runs from it, and has the same.
    let drilled = stdout_json(&run(&["snapshot", "drill", path, "-o", "json"]));
    // An empty store begins at revision 1.
    let revision = ours["revision"].as_i64().unwrap().max(1);
    if what.ends_with("auth") {
        assert_eq!(drilled["keys"], Value::Null, "{what}: {drilled}");
    } else {
        assert_eq!((&drilled["revision"], &drilled["keys"]), (&json!(revision), &ours["totalKey"]), "{what}");
    }
    let verified = stdout_json(&run(&["snapshot", "verify", path, "-o", "json"]));
    assert_eq!((&verified["whole"], &verified["damages"]), (&json!(true), &json!([])), "{what}");
    assert_eq!(verified["status"], ours, "{what}");
    ours
}

async fn agrees_with_etcdutl(version: &str) {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some(version.into()), ..Spec::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, user: &[&str]| {
        let file = folder.path().join(name);
        let mut args = vec!["snapshot", "save", file.to_str().unwrap()];
        args.extend(user);
        cluster.etcdctl(&args);
        file
    };
    agrees(&save("empty.db", &[]), &format!("{version}, empty"));
    // Revisions, tombstones, a key that came back, leases, values of every size, keys with any byte.
    let puts: Vec<_> = (0..120).map(|i| format!("put /registry/pods/default/p{i} \"{i}\"")).collect();
    for _ in 0..20 {
        cluster.etcdctl_with(&["txn"], &format!("\n{}\n\n\n", puts.join("\n")));
    }
    cluster.etcdctl(&["del", "/registry/pods/default/p1", "/registry/pods/default/p3"]);
    cluster.etcdctl(&["put", "/registry/pods/default/p2", "again"]);
    let lease = cluster.etcdctl(&["lease", "grant", "600"]);
    let lease = lease.split_whitespace().nth(1).unwrap();
    cluster.etcdctl(&["put", "--lease", lease, "leased", "x"]);
    cluster.etcdctl(&["put", "size-0", ""]);
    for size in [1, 4_000, 4_096, 70_000, 1_000_000] {
        cluster.etcdctl_with(&["put", &format!("size-{size}")], &"v".repeat(size));
    }
    cluster.etcdctl_with(&["put", "\u{1}\u{7f}\u{202e}key"], "x");
    let ours = agrees(&save("full.db", &[]), &format!("{version}, full"));
    assert!(ours["totalKey"].as_u64() < ours["totalEntries"].as_u64(), "{ours}");
    cluster.etcdctl(&["compact", "15"]);
    agrees(&save("compacted.db", &[]), &format!("{version}, compacted"));
    every_bucket_has_something(&cluster).await;
    for args in [&["user", "add", "root:pw"][..], &["role", "add", "r"], &["auth", "enable"]] {
        if args[0] == "auth" {
            if version == "3.4" {
                cluster.etcdctl(&["role", "add", "root"]);
            }
            cluster.etcdctl(&["user", "grant-role", "root", "root"]);
        }
        cluster.etcdctl(args);
    }
    agrees(&save("auth.db", &["--user", "root:pw"]), &format!("{version}, auth"));
    // A member's own file, while it runs: no checksum, and said to be so.
    let raw = cluster.folder().join("m1/member/snap/db");
    let copy = folder.path().join("raw");
    std::fs::copy(&raw, &copy).unwrap();
    let shown = run(&["snapshot", "status", copy.to_str().unwrap()]);
    assert!(shown.all().contains("raw db file, no checksum"), "{}", shown.all());
    let shown = run(&["snapshot", "verify", copy.to_str().unwrap(), "--raw"]);
    assert!(shown.code == 0 && shown.all().contains("no checksum at its end: a raw"), "{}", shown.all());
}

/// Trees of several pages in more buckets than that of the keys: leases, roles, and a member that was there once.
async fn every_bucket_has_something(cluster: &TestCluster) {
    let mut client = etcd_client::Client::connect([cluster.endpoints_text()], None).await.unwrap();
    for i in 0..400 {
        client.lease_grant(3_600 + i, None).await.unwrap();
        client.role_add(format!("role-{i}-with-a-name-as-long-as-those-of-teams-are")).await.unwrap();
    }
    let learner = cluster.etcdctl(&["member", "add", "once", "--learner", "--peer-urls=http://127.0.0.1:1"]);
    let id = learner.split_whitespace().nth(1).unwrap();
    cluster.etcdctl(&["member", "remove", id]);
}

/// A million puts of ten thousand keys, some of them gone in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_changes_are_counted_as_etcdutl_counts_them() {
    const PUTS: usize = 1_000_000;
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.7".into()), ..Spec::default() }).await;
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8_usize {
        let endpoint = cluster.endpoints_text();
        tasks.spawn(async move {
            let mut client = etcd_client::Client::connect([endpoint], None).await.unwrap();
            for batch in (worker..PUTS / 100).step_by(8) {
                let key = |i: usize| format!("/k/{:05}", (batch * 7_919 + i) % 10_000);
                let puts: Vec<_> =
                    (0..100).map(|i| etcd_client::TxnOp::put(key(i), format!("{batch}"), None)).collect();
                client.txn(etcd_client::Txn::new().and_then(puts)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    cluster.etcdctl(&["del", "--prefix", "/k/000"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("million.db");
    cluster.etcdctl(&["snapshot", "save", file.to_str().unwrap()]);
    let ours = agrees(&file, "a million changes");
    assert_eq!(ours["totalKey"], json!(9_900), "{ours}");
    assert!(ours["totalEntries"].as_u64().unwrap() > PUTS as u64, "{ours}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_3_4_are_read_as_etcdutl_reads_them() {
    agrees_with_etcdutl("3.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_3_5_are_read_as_etcdutl_reads_them() {
    agrees_with_etcdutl("3.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_3_6_are_read_as_etcdutl_reads_them() {
    agrees_with_etcdutl("3.6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_3_7_are_read_as_etcdutl_reads_them() {
    agrees_with_etcdutl("3.7").await;
}

#[test]
fn a_damaged_file_is_1_and_names_check_and_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/snapshot-3.6.db")).unwrap();
    let mut bytes = whole.clone();
    bytes[5 * 4096] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    for command in ["status", "verify"] {
        let output = run(&["snapshot", command, file.to_str().unwrap()]);
        assert_eq!(output.code, 1, "{}", output.all());
        assert!(output.all().contains("page: page 5: says of itself to be page 4"), "{}", output.all());
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let output = run(&["snapshot", "verify", file.to_str().unwrap()]);
    assert!(output.code == 1 && output.all().contains("it was cut"), "{}", output.all());
    let output = run(&["snapshot", "verify", "/nonexistent/x.db"]);
    assert!(output.code == 1 && output.all().contains("/nonexistent/x.db: No such file"), "{}", output.all());
}

/// What inspect foretells of a compaction and a defragmentation, beside what they give.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_foretold_is_what_comes() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..30 {
        let puts: Vec<_> = (0..120)
            .map(|i| {
                format!(
                    "put /registry/configmaps/ns/c{i} \"{}\"",
                    "x".repeat(100 + (i * 37 + round * 11) % 900)
                )
            })
            .collect();
        cluster.etcdctl_with(&["txn"], &format!("\n{}\n\n\n", puts.join("\n")));
    }
    cluster.etcdctl(&["del", "/registry/configmaps/ns/c1", "/registry/configmaps/ns/c2"]);
    let inspect = |name: &str| {
        let file = folder.path().join(name);
        cluster.etcdctl(&["snapshot", "save", file.to_str().unwrap()]);
        stdout_json(&run(&["snapshot", "inspect", file.to_str().unwrap(), "-o", "json"]))
    };
    let size = |i: &Value| i["size"].as_f64().unwrap();
    let near = |foretold: &Value, came: f64, what: &str| {
        let foretold = foretold.as_f64().unwrap();
        // A tenth, and some pages that were freed while it was written.
        assert!(
            (foretold - came).abs() < came / 10.0 + 8.0 * 4096.0,
            "{what}: foretold {foretold}, came {came}"
        );
    };
    let first = inspect("first.db");
    assert_eq!((&first["live_keys"], &first["tombstones"]), (&json!(89), &json!(31)), "{first}");
    assert_eq!(first["prefixes"][0]["prefix"], "configmaps");
    cluster.etcdctl(&["defrag"]);
    let second = inspect("second.db");
    near(&first["after_defragmentation"], size(&second), "a defragmentation");
    let head = second["revision"].to_string();
    cluster.etcdctl(&["compact", "--physical", &head]);
    cluster.etcdctl(&["defrag"]);
    let third = inspect("third.db");
    near(&second["after_compaction"], size(&third), "a compaction and a defragmentation");
    assert!(size(&third) < size(&second) / 5.0, "{third}");
    assert_eq!(third["live_keys"], json!(89), "{third}");
}

/// Saving from the command line: the file is named on standard output, verified, and has its side file.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_saved_from_the_command_line() {
    let cluster = TestCluster::of("3.6").await;
    cluster.etcdctl(&["put", "/a", "b"]);
    let home = tempfile::tempdir().unwrap();
    let text = home.path().display().to_string();
    let env = [("XDG_STATE_HOME", text.as_str()), ("XDG_DATA_HOME", text.as_str())];
    let endpoints = cluster.endpoints_text();
    let save = |args: &[&str]| {
        let mut all = vec!["snapshot", "save", "--endpoints", &endpoints];
        all.extend(args);
        crate::cli::run_with(&all, &env)
    };
    let output = save(&["--member", "m2"]);
    assert_eq!(output.code, 0, "{}", output.all());
    let file = std::path::PathBuf::from(output.out.trim());
    assert!(file.starts_with(home.path()) && file.exists(), "{}", output.all());
    agrees(&file, "saved by us");
    let side: Value =
        serde_json::from_slice(&std::fs::read(etcdtop::snapshot::Side::path_of(&file)).unwrap()).unwrap();
    assert_eq!((&side["verified"], side["members"].as_array().unwrap().len()), (&json!("full"), 3), "{side}");
    // A name that is taken, a member that is none, a folder that cannot be: nothing is written over, and it says why.
    let again = save(&[file.to_str().unwrap()]);
    assert!(again.code == 3 && again.err.contains("exists already"), "{}", again.all());
    let none = save(&["--member", "m9"]);
    assert!(none.code == 2 && none.err.contains("no member \"m9\": there are m1, m2, m3"), "{}", none.all());
    let bad = save(&[file.join("x.db").to_str().unwrap()]);
    assert!(bad.code == 3 && bad.err.contains("is no folder"), "{}", bad.all());
    let full = save(&["/proc/nowhere/x.db"]);
    assert!(full.code == 3 && full.err.contains("/proc/nowhere has 0 B free"), "{}", full.all());
    let nobody = crate::cli::run_with(&["snapshot", "save", "--endpoints", "127.0.0.1:1"], &env);
    assert!(nobody.code == 4 && nobody.err.contains("no member answers"), "{}", nobody.all());
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

/// What `etcdutl snapshot status` sees of a damaged file, and what verify names: the table in the README.
#[test]
fn damage_that_etcdutl_does_not_see_is_named() {
    const PAGE: usize = 4096;
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/snapshot-3.6.db")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    // A leaf of the bucket `key`, in use: its first element's key and value.
    let element = |bytes: &[u8], page: usize, i: usize| {
        let at = page * PAGE + 16 + i * 16;
        let word = |o: usize| u32::from_le_bytes(bytes[at + o..at + o + 4].try_into().unwrap()) as usize;
        (at + word(4), word(8), word(12))
    };
    let in_use = 15;
    let (key, key_len, _) = element(&whole, in_use, 0);
    let cases: Vec<(&str, Damage, &str)> = vec![
        ("a byte of a value", Box::new(move |b| b[key + key_len + 40] ^= 1), "trailer"),
        (
            "the checksum",
            Box::new(|b| {
                let n = b.len();
                b[n - 1] ^= 1;
            }),
            "trailer",
        ),
        ("a revision's number", Box::new(move |b| b[key + 7] ^= 0x40), "trailer"),
        ("a page's number", Box::new(move |b| b[in_use * PAGE] ^= 1), "page"),
        ("a page's kind", Box::new(move |b| b[in_use * PAGE + 8] = 1), "page"),
        ("a value's length", Box::new(move |b| b[in_use * PAGE + 16 + 12] ^= 2), "trailer"),
        ("cut at a page", Box::new(|b| b.truncate(PAGE * 12)), "size"),
        ("cut in a page", Box::new(|b| b.truncate(PAGE * 12 + 100)), "size"),
        (
            "no checksum",
            Box::new(|b| {
                let n = b.len();
                b.truncate(n - 32);
            }),
            "trailer",
        ),
        ("a meta page", Box::new(|b| b[16 + 20] ^= 1), "meta"),
    ];
    let mut missed = Vec::new();
    for (what, damage, check) in cases {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let sees = ["3.5", "3.6", "3.7"].map(|version| {
            let program = Binaries::find(Some(version)).unwrap().etcdutl.unwrap();
            let output = Command::new(program).args(["snapshot", "status"]).arg(&file).output().unwrap();
            !output.status.success()
        });
        let ours = run(&["snapshot", "verify", file.to_str().unwrap()]);
        println!(
            "{what}: etcdutl {sees:?}, verify {}: {}",
            ours.code,
            ours.all().lines().last().unwrap_or_default()
        );
        if sees == [false; 3] {
            missed.push(what);
        }
        assert!(ours.code == 1 && ours.all().contains(&format!("{check}: ")), "{what}: {}", ours.all());
    }
    println!("missed by etcdutl: {missed:?}");
    for what in ["a byte of a value", "the checksum", "no checksum"] {
        assert!(missed.contains(&what), "{missed:?}");
    }
}
