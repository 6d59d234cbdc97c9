//! The examples of etcd-defrag's documentation with etcdtop's flags, on a real cluster: what the members' own logs say was
//! done is what that documentation says is done. And the table of its flags.

use std::collections::BTreeSet;
use std::path::Path;

use etcdtop::cli::Cli;
use etcdtop::lab::{Load, LoadKind, Spec};
use serde_json::Value;

use crate::support::certs::{Certs, Pair};
use crate::support::cluster::{TestCluster, patient};
use crate::support::job::Job;

/// What a run did, as the members' logs tell it.
#[derive(Debug, Default, PartialEq)]
struct Done {
    /// Members that were defragmented, in order.
    defragmented: Vec<String>,
    /// The revision that was compacted to.
    compacted: Option<i64>,
}

/// A cluster whose logs are read from where they were left.
struct Arena {
    cluster: TestCluster,
    certs: Certs,
    client: Pair,
    read: Vec<usize>,
    /// As on any cluster that is used; what a compaction frees stays in use where nothing is written.
    _load: Load,
}

impl Arena {
    /// As in those examples: three members, TLS, client certificates.
    async fn start() -> Self {
        let certs = Certs::new();
        let (tls, server) = certs.both_ways();
        let spec =
            Spec { version: Some("3.5".into()), tls: Some(tls), extra_args: patient(), ..Spec::default() };
        let cluster = TestCluster::start(spec).await;
        let load = Load::start(&cluster, LoadKind::Light);
        let this = Self { cluster, certs, client: server, read: vec![0; 3], _load: load };
        this.write(30);
        this
    }

    /// Revisions of large values, so that there is something to compact and to give back.
    fn write(&self, revisions: usize) {
        let value = "x".repeat(60 << 10);
        for _ in 0..revisions {
            self.cluster.etcdctl(&["put", "/fill", &value]);
        }
    }

    fn log(&self, i: usize) -> String {
        let name = format!("{}.log", self.cluster.members()[i].name);
        std::fs::read_to_string(self.cluster.folder().join(name)).unwrap()
    }

    /// What was done since it was asked last.
    fn done(&mut self) -> Done {
        let mut done = Done::default();
        let mut defragmented = Vec::new();
        for i in 0..3 {
            let log = self.log(i);
            for line in log[self.read[i]..].lines() {
                let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
                match entry["msg"].as_str() {
                    Some("finished defragmenting directory") => {
                        let name = self.cluster.members()[i].name.clone();
                        defragmented.push((entry["ts"].as_str().unwrap().to_owned(), name));
                    }
                    Some("finished scheduled compaction") => {
                        done.compacted = entry["compact-revision"].as_i64();
                    }
                    _ => {}
                }
            }
            self.read[i] = log.len();
        }
        defragmented.sort();
        done.defragmented = defragmented.into_iter().map(|(_, name)| name).collect();
        done
    }

    /// The newest revision that a member knows of, and the leader's name.
    fn head(&self) -> (i64, String) {
        let text = self.cluster.etcdctl(&["endpoint", "status", "-w", "json"]);
        let all: Value = serde_json::from_str(&text).unwrap();
        let all = all.as_array().unwrap();
        let revisions = all.iter().map(|e| e["Status"]["header"]["revision"].as_i64().unwrap());
        (revisions.max().unwrap(), self.cluster.members()[self.cluster.leader()].name.clone())
    }

    fn endpoint(&self, i: usize) -> String {
        self.cluster.members()[i].client.raw().to_owned()
    }

    /// An example's words, with this cluster's endpoints and files for the documentation's, and what etcdtop must be told
    /// in addition: see docs/defrag-flags.md.
    fn translated(&self, example: &str) -> Vec<String> {
        let path = |p: &Path| p.display().to_string();
        let text = example
            .replace("127.0.0.1:22379", self.endpoint(1).trim_start_matches("https://"))
            .replace("127.0.0.1:32379", self.endpoint(2).trim_start_matches("https://"))
            .replace("127.0.0.1:2379", self.endpoint(0).trim_start_matches("https://"))
            .replace("http://", "https://");
        let mut words: Vec<String> = vec!["defrag".into(), "--yes".into()];
        if !example.contains("--compaction") {
            words.extend(["--compaction", "--keep", "0"].map(str::to_owned));
        }
        if !example.contains("--cluster") {
            words.push("--cluster=false".into());
        }
        words.extend(text.split('|').map(|w| w.replace("OR", "||")));
        let tls = [
            ("--cacert", path(&self.certs.ca())),
            ("--cert", path(&self.client.cert)),
            ("--key", path(&self.client.key)),
        ];
        words.extend(tls.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file]));
        words
    }
}

/// Who is defragmented, by the documentation: members by number, the leader last among them.
enum Who {
    These(&'static [usize]),
    All,
    Nobody,
}

/// etcd-defrag's words, with | for the spaces between them, and what it says it does with them.
const EXAMPLES: &[(&str, &str, Who)] = &[
    ("1: one endpoint", "--endpoints=https://127.0.0.1:22379", Who::These(&[1])),
    (
        "2: several endpoints",
        "--endpoints=https://127.0.0.1:22379,https://127.0.0.1:32379",
        Who::These(&[1, 2]),
    ),
    ("3: all members", "--endpoints|https://127.0.0.1:22379|--cluster", Who::All),
    (
        "rule, either: nobody is that large",
        "--endpoints|http://127.0.0.1:22379|--cluster|--defrag-rule=dbSize > dbQuota*80/100 OR dbSize - dbSizeInUse > 200*1024*1024",
        Who::Nobody,
    ),
    (
        "rule, in other words",
        "--endpoints|http://127.0.0.1:22379|--cluster|--defrag-rule=dbQuotaUsage > 0.8 OR dbSizeFree > 200*1024*1024",
        Who::Nobody,
    ),
    (
        "rule, both",
        "--endpoints|http://127.0.0.1:22379|--cluster|--defrag-rule=dbSize > dbQuota*80/100 && dbSize - dbSizeInUse > 200*1024*1024",
        Who::Nobody,
    ),
    // The same rules on the other side of their thresholds: files of a test are a thousandth as large.
    (
        "rule, either, of a small cluster",
        "--endpoints|http://127.0.0.1:22379|--cluster|--defrag-rule=dbSize > dbQuota*80/100 OR dbSize - dbSizeInUse > 200*1024",
        Who::All,
    ),
    (
        "rule, both, of a small cluster",
        "--endpoints|http://127.0.0.1:22379|--cluster|--etcd-storage-quota-bytes=2147483648|--defrag-rule=dbSize > dbQuota/100000 && dbSizeFree > 200*1024",
        Who::All,
    ),
    (
        "the CronJob",
        "--endpoints=https://127.0.0.1:2379|--cluster|--defrag-rule|dbQuotaUsage > 0.8 OR dbSize - dbSizeInUse > 200*1024",
        Who::All,
    ),
    (
        "what its later flags do",
        "--endpoints=https://127.0.0.1:2379|--cluster|--compaction=false|--wait-between-defrags=200ms|--continue-on-error|--auto-disalarm|--disalarm-threshold=0.9",
        Who::All,
    ),
    ("only shown", "--endpoints=https://127.0.0.1:2379|--cluster|--compaction=false|--dry-run", Who::Nobody),
];

#[tokio::test(flavor = "multi_thread")]
async fn its_examples_do_here_what_its_documentation_says() {
    let mut arena = Arena::start().await;
    let job = Job::on("");
    arena.done();
    for (name, words, who) in EXAMPLES {
        let (before, leader) = arena.head();
        let args = arena.translated(words);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let ran = job.ends(0, &args).await;
        let done = arena.done();
        let mut expected: BTreeSet<String> = match who {
            Who::These(members) => members.iter().map(|i| format!("m{}", i + 1)).collect(),
            Who::All => (1..=3).map(|i| format!("m{i}")).collect(),
            Who::Nobody => BTreeSet::new(),
        };
        let really: BTreeSet<_> = done.defragmented.iter().cloned().collect();
        assert_eq!(really, expected, "{name}: {done:?}\n{}", ran.all());
        assert_eq!(done.defragmented.len(), expected.len(), "{name}: each once: {done:?}");
        if expected.remove(&leader) {
            assert_eq!(done.defragmented.last(), Some(&leader), "{name}: the leader last: {done:?}");
        }
        let compacts = !words.contains("--compaction=false");
        let (after, _) = arena.head();
        match done.compacted {
            // Everything up to the head of when it was planned: something is written all the time.
            Some(revision) if compacts => {
                assert!((before..=after).contains(&revision), "{name}: {revision} of {before} to {after}");
            }
            compacted => assert!(compacted.is_none() && !compacts, "{name}: {done:?}: {}", ran.all()),
        }
        // Something to compact, and to give back, for the next one.
        arena.write(10);
    }
}

/// Leadership is moved first, and the one who led is rewritten as a follower.
#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_moved_before_its_turn() {
    let mut arena = Arena::start().await;
    let job = Job::on("");
    arena.done();
    let (_, leader) = arena.head();
    let args =
        arena.translated("--endpoints=https://127.0.0.1:2379|--cluster|--compaction=false|--move-leader");
    job.ends(0, &args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let done = arena.done();
    assert_eq!((done.defragmented.len(), done.defragmented.last()), (3, Some(&leader)), "{done:?}");
    assert_ne!(arena.head().1, leader);
}

/// The flags that `etcd-defrag -h` lists.
const FLAGS: &[(&str, &str)] = &[
    ("auto-disalarm", "true"),
    ("cacert", "ca"),
    ("cert", "c"),
    ("cluster", "true"),
    ("command-timeout", "30s"),
    ("compaction", "false"),
    ("continue-on-error", "true"),
    ("defrag-rule", "dbSize > 1"),
    ("dial-timeout", "2s"),
    ("disalarm-threshold", "0.9"),
    ("discovery-srv", "d"),
    ("discovery-srv-name", "n"),
    ("dry-run", ""),
    ("endpoints", "127.0.0.1:2379"),
    ("etcd-storage-quota-bytes", "2147483648"),
    ("exclude-localhost", "true"),
    ("insecure-discovery", "true"),
    ("insecure-skip-tls-verify", "true"),
    ("insecure-transport", "true"),
    ("keepalive-time", "2s"),
    ("keepalive-timeout", "6s"),
    ("key", "k"),
    ("move-leader", "true"),
    ("password", "p"),
    ("skip-healthcheck-cluster-endpoints", "true"),
    ("user", "u"),
    ("wait-between-defrags", "30s"),
];

#[test]
fn every_flag_of_it_is_understood_and_in_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/defrag-flags.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: Vec<_> = page.lines().filter(|l| l.starts_with("| `--")).collect();
    for (flag, value) in FLAGS {
        let written = if value.is_empty() { format!("--{flag}") } else { format!("--{flag}={value}") };
        let read = Cli::grammar().try_get_matches_from(["etcdtop", "defrag", &written]);
        assert!(read.is_ok(), "{written}: {}", read.unwrap_err());
        let row = rows.iter().find(|row| row.starts_with(&format!("| `--{flag}` |")));
        let row = row.unwrap_or_else(|| panic!("--{flag} is not in the table"));
        let ours = row.split('|').nth(2).unwrap().trim();
        assert!(ours == "the same" || ours.contains(&format!("`--{flag}`")), "{row}");
        // What it is called here is understood, too.
        for name in ours.split(", ").map(|n| n.trim_matches('`')).filter(|n| n.starts_with("--")) {
            let help = Cli::grammar().find_subcommand_mut("defrag").unwrap().render_long_help().to_string();
            let global = Cli::grammar().render_long_help().to_string();
            let hidden = ["--insecure-discovery", "--auto-disalarm"];
            let known = help.contains(name) || global.contains(name) || hidden.contains(&name);
            assert!(known, "{name} is in no help");
        }
    }
    // Nothing stands in the table that etcd-defrag does not have.
    for row in rows {
        let flag = row.trim_start_matches("| `--").split('`').next().unwrap();
        assert!(flag == "version" || FLAGS.iter().any(|(f, _)| *f == flag), "{flag}");
    }
}
