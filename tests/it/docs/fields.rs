//! The tables of `docs/cron.md`: every field that is documented is there, every one that is there is documented. Metrics the
//! same, with their help.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::page;
use super::rules::silent_and_firing;
use super::world::World;
use crate::cli::Output;
use crate::support::cluster::TestCluster;
use crate::support::operate::fill;

type Paths = BTreeSet<String>;

/// The leaves of a document: `members[].id`. What is an empty list or null here may be more elsewhere.
fn leaves(value: &Value, at: &str, found: &mut Paths) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                leaves(value, &below, found);
            }
        }
        Value::Array(items) => {
            let below = format!("{at}[]");
            if items.is_empty() {
                found.insert(below.clone());
            }
            for item in items {
                leaves(item, &below, found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

fn paths(documents: &[Value]) -> Paths {
    let mut found = Paths::new();
    for document in documents {
        leaves(document, "", &mut found);
    }
    let more = |path: &String| {
        found.iter().any(|f| f.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['.', '['])))
    };
    found.iter().filter(|p| !more(p)).cloned().collect()
}

/// The rows of the table below a comment: their cells.
fn table(comment: &str) -> Vec<Vec<String>> {
    let text = page("cron.md");
    let at =
        text.find(&format!("<!-- {comment} -->")).unwrap_or_else(|| panic!("no table {comment} in cron.md"));
    let rows = text[at..].lines().skip(1).take_while(|l| l.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect()).collect()
}

/// What stands in backticks.
fn named(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn documented(of: &str) -> Paths {
    table(&format!("fields: {of}")).iter().flat_map(|row| named(&row[0]).collect::<Vec<_>>()).collect()
}

fn same(of: &str, real: &Paths) {
    let told = documented(of);
    let gone: Vec<_> = told.difference(real).collect();
    let untold: Vec<_> = real.difference(&told).collect();
    assert!(gone.is_empty() && untold.is_empty(), "{of}: not there: {gone:?}; not documented: {untold:?}");
}

fn one(output: &Output) -> Value {
    crate::cli::json(output)
}

fn lines(output: &Output) -> Vec<Value> {
    output.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Names with their help.
fn metrics(texts: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in texts.iter().flat_map(|t| t.lines()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            found.insert(name.to_owned(), help.to_owned());
        }
    }
    found
}

/// Labels of a metric beyond those of all.
fn labels(texts: &[String], metric: &str) -> BTreeSet<String> {
    let series =
        texts.iter().flat_map(|t| t.lines()).filter_map(|l| l.strip_prefix(metric)?.strip_prefix('{'));
    let names = series.flat_map(|s| s.split('}').next().unwrap().split("\",").collect::<Vec<_>>());
    names
        .map(|l| l.split('=').next().unwrap().to_owned())
        .filter(|l| l != "cluster" && l != "command")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_metrics_are_as_documented() {
    let mut cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 8, 100);
    let world = World::beside(&cluster);
    let run = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        one(&world.etcdtop(&all))
    };
    let folder = "/var/lib/prometheus/node-exporter";
    let prom = |name: &str| std::fs::read_to_string(world.folder().join("node-exporter").join(name)).unwrap();
    same("health", &paths(&[run(&["health"])]));
    let list = |saved: &[&str]| {
        let mut documents = run(saved).as_array().unwrap().clone();
        // As the table writes it.
        documents = vec![Value::Array(documents)];
        paths(&documents)
    };
    let save = ["snapshot", "save", "/var/backups/etcd/a.db", "--metrics-file", &format!("{folder}/s.prom")];
    same("save", &paths(&[run(&save)]));
    let mut listed = list(&["snapshot", "list", "/var/backups/etcd"]);
    listed.extend(list(&["snapshot", "prune", "/var/backups/etcd", "--keep-last", "1", "--dry-run"]));
    same("list", &listed);
    std::fs::write(world.folder().join("backups/broken.db"), "no snapshot").unwrap();
    let whole = run(&["snapshot", "verify", "/var/backups/etcd/a.db"]);
    assert_eq!(
        paths(&[whole["status"].clone()]),
        paths(&[run(&["snapshot", "status", "/var/backups/etcd/a.db"])])
    );
    same("verify", &paths(&[whole, damaged(&world)]));

    let diagnosed = run(&["diagnose", "--for", "1s", "--hashkv"]);
    let defrag = ["defrag", "--yes", "--metrics-file", &format!("{folder}/d.prom")];
    let ran = run(&defrag);
    let events = lines(&world.etcdtop(&["defrag", "--yes", "-o", "jsonl"]));
    let saving = lines(&world.etcdtop(&["snapshot", "save", "/var/backups/etcd/b.db", "-o", "jsonl"]));
    let (good, snapshot) = (prom("d.prom"), prom("s.prom"));
    compare_metrics(&[good.clone(), snapshot.clone()]);

    // A member that is gone: what is null or empty on a healthy cluster is something.
    cluster.kill(2);
    let failing = run(&["diagnose", "--for", "0s"]);
    same("diagnose", &paths(&[diagnosed, failing]));
    let refused = run(&defrag);
    assert_eq!(refused["exit"], 3, "{refused}");
    same("run", &paths(&[ran, refused]));
    let bad = prom("d.prom");
    silent_and_firing(&[good, snapshot], &bad);
    cluster.restart(2).unwrap();
    cluster.wait_ready(crate::support::PATIENCE).await.unwrap();
    compare_events(&events, &saving);
    same("status", &paths(&[run(&["status"])]));
    alarms(&cluster, &world).await;
    let found = world.first_line(&["etcdtop", "diagnose", "--watch", "-o", "jsonl"].map(str::to_owned));
    same("watch", &paths(&[serde_json::from_str(&found).unwrap()]));
}

/// A byte in the middle of a snapshot is another.
fn damaged(world: &World) -> Value {
    let folder = world.folder().join("backups");
    let mut bytes = std::fs::read(folder.join("a.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.join("damaged.db"), bytes).unwrap();
    let output = world.etcdtop(&["snapshot", "verify", "/var/backups/etcd/damaged.db", "-o", "json"]);
    assert_eq!(output.code, 1, "{}", output.all());
    one(&output)
}

async fn alarms(cluster: &TestCluster, world: &World) {
    let mut client = etcd_client::Client::connect([cluster.endpoints()[0].raw()], None).await.unwrap();
    let (raise, kind) = (etcd_client::AlarmAction::Activate, etcd_client::AlarmType::Nospace);
    let id = client.status().await.unwrap().header().unwrap().member_id();
    let mut options = etcd_client::AlarmOptions::new();
    options.with_member(id);
    client.alarm(raise, kind, Some(options)).await.unwrap();
    same("alarms", &paths(&[one(&world.etcdtop(&["alarms", "-o", "json"]))]));
}

fn compare_metrics(texts: &[String]) {
    let real = metrics(texts);
    let told: BTreeMap<_, _> =
        table("metrics").iter().map(|row| (named(&row[0]).next().unwrap(), row[1].clone())).collect();
    assert_eq!(told, real, "the metrics of cron.md beside real ones");
    for row in table("metrics") {
        let metric = named(&row[0]).next().unwrap();
        let told: BTreeSet<_> = row.get(2).map(|cell| named(cell).collect()).unwrap_or_default();
        assert_eq!(told, labels(texts, &metric), "labels of {metric}");
    }
}

fn compare_events(roll: &[Value], saving: &[Value]) {
    let told: BTreeMap<String, (Paths, bool)> = table("fields: events")
        .iter()
        .map(|row| {
            let words = row[1].split(':').next().unwrap();
            (named(&row[0]).next().unwrap(), (named(words).collect(), row[1].starts_with("all that")))
        })
        .collect();
    for event in roll.iter().chain(saving) {
        let name = event["event"].as_str().unwrap();
        let (fields, all) = told.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let real: Paths =
            event.as_object().unwrap().keys().filter(|k| *k != "at" && *k != "event").cloned().collect();
        assert!(*all || *fields == real, "{name}: {fields:?} documented, {real:?} are there");
    }
    let run = documented("run");
    let of = |prefix: &str| -> Paths {
        run.iter().filter_map(|f| f.strip_prefix(prefix)).map(str::to_owned).collect()
    };
    let ended = roll.iter().find(|e| e["event"] == "step_ended").unwrap();
    let fields: Paths =
        ended.as_object().unwrap().keys().filter(|k| *k != "at" && *k != "event").cloned().collect();
    assert_eq!(of("steps[]."), fields);
    let seen: BTreeSet<_> = roll.iter().chain(saving).filter_map(|e| e["event"].as_str()).collect();
    // The others need a cluster that is slow, and another leader.
    let unseen: Vec<_> = told.keys().filter(|name| !seen.contains(name.as_str())).collect();
    assert_eq!(unseen, ["reordered", "waiting"]);
}
