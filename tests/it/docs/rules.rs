//! The alert rules of `docs/cron.md`, evaluated by Prometheus' own engine (tests/mixin) on files of real runs.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use etcdtop::lab::binaries::cache_folder;
use serde_json::{Value, json};

use super::page;

/// Alerts of the page: name, expression, for, severity.
fn rules() -> Vec<Value> {
    let text = page("cron.md");
    let yaml = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
    let mut rules: Vec<Value> = Vec::new();
    for line in yaml.lines() {
        let line = line.trim().trim_start_matches("- ");
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "alert" => rules.push(json!({"alert": value, "labels": {}})),
            "expr" | "for" => rules.last_mut().unwrap()[key] = value.into(),
            "labels" => {
                let severity = value.trim_matches(['{', '}']).strip_prefix("severity: ").unwrap();
                rules.last_mut().unwrap()["labels"]["severity"] = severity.into();
            }
            _ => {}
        }
    }
    assert!(rules.len() >= 5 && rules.iter().all(|r| r["expr"].is_string()), "{rules:?}");
    rules
}

/// What fires `after` seconds after a run that left these files, scraped every minute of the last hour.
fn firing(files: &[String], after: i64) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("rules.json"), json!({"groups": [{"rules": rules()}]}).to_string()).unwrap();
    let now = jiff::Timestamp::now().as_second() + after;
    let mut scrapes = String::new();
    for minute in (0..=60).rev() {
        // The collector serves all files of its folder.
        scrapes += &format!("# scrape host {}\n{}\n", (now - 60 * minute) * 1000, files.concat());
    }
    fs::write(at("scrapes.txt"), scrapes).unwrap();
    let evaluator = cache_folder().join("mixin/mixin-eval");
    let output = Command::new(&evaluator)
        .arg("--rules")
        .arg(at("rules.json"))
        .arg("--scrapes")
        .arg(at("scrapes.txt"))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e} (`make fetch` builds it)", evaluator.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rings =
        |alert: &&Value| alert["results"].as_array().is_some_and(|r| r.iter().any(|r| r["firing"] == true));
    let alerts = told["alerts"].as_array().unwrap();
    alerts.iter().filter(rings).map(|a| a["alert"].as_str().unwrap().to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// `good`: files after runs that went well; `bad`: that of one that was refused.
pub fn silent_and_firing(good: &[String], bad: &str) {
    assert_eq!(firing(good, 0), set(&[]));
    assert_eq!(firing(good, 2 * 86_400), set(&["EtcdSnapshotOld"]));
    assert_eq!(firing(good, 4 * 86_400), set(&["EtcdSnapshotOld", "EtcdtopDefragmentationNotDone"]));
    let bad = bad.to_owned();
    assert_eq!(firing(std::slice::from_ref(&bad), 0), set(&["EtcdtopRunFailed"]));
    let unknown = bad.replace("command=\"defrag\"} 3\n", "command=\"defrag\"} 5\n");
    assert_ne!(unknown, bad, "there is no exit code in it");
    assert_eq!(firing(&[unknown], 0), set(&["EtcdtopOutcomeUnknown", "EtcdtopRunFailed"]));
    let stopped = bad.replace("command=\"defrag\"} 3\n", "command=\"defrag\"} 143\n");
    assert_eq!(firing(&[stopped], 0), set(&[]), "stopped as asked is no failure");
    let unverified = good.concat().replace("how=\"full\"} 1", "how=\"no\"} 0");
    assert_eq!(firing(&[unverified], 0), set(&["EtcdSnapshotNotVerified"]));
}
