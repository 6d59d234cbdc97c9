//! What is found, beside what the public etcd mixin says of the same `/metrics`: its own expressions, evaluated by
//! Prometheus' own engine (`mixin-eval`, see tests/mixin) on scrapes that were recorded from real clusters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use etcdtop::diagnose::{Case, findings};
use etcdtop::etcd::metrics::parse;
use etcdtop::lab::binaries::cache_folder;
use etcdtop::model::{
    Bytes, ClusterId, ClusterView, Finding, MemberId, MemberState, MemberStatus, MemberView, RaftIndex,
    Revision, Role, Severity, Term,
};
use etcdtop::poll::history::History;
use etcdtop::poll::scrapes::MIXIN_WINDOW;
use jiff::Timestamp;
use serde_json::Value;

const NAMES: [&str; 3] = ["m1", "m2", "m3"];

/// A recording: each scrape's member, moment and body.
fn recording(name: &str) -> Vec<(usize, Timestamp, Vec<u8>)> {
    let path = path(name);
    let unpacked = Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
    assert!(unpacked.status.success(), "{}: {unpacked:?}", path.display());
    let mut scrapes: Vec<(usize, Timestamp, Vec<u8>)> = Vec::new();
    for line in unpacked.stdout.split_inclusive(|b| *b == b'\n') {
        let text = String::from_utf8_lossy(line);
        if let Some(head) = text.strip_prefix("# scrape ") {
            let (member, at) = head.trim().split_once(' ').unwrap();
            let member = NAMES.iter().position(|n| *n == member).unwrap();
            scrapes.push((member, Timestamp::from_millisecond(at.parse().unwrap()).unwrap(), Vec::new()));
        } else if let Some((.., body)) = scrapes.last_mut()
            && !line.starts_with(b"#")
        {
            body.extend_from_slice(line);
        }
    }
    assert!(scrapes.len() > 60, "{name}: {} scrapes", scrapes.len());
    scrapes
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/scrapes/{name}.txt.gz"))
}

/// What was recorded, as the poll would have shown it. The recording has no `Status`: sizes and quota are those of the
/// same moment's scrape.
fn history(name: &str) -> (ClusterView, History) {
    let mut history = History::default();
    let mut members: Vec<MemberView> = Vec::new();
    for (i, name) in NAMES.iter().enumerate() {
        let mut m = MemberView::unknown(Timestamp::UNIX_EPOCH);
        m.id = Some(MemberId(i as u64 + 1));
        (m.name, m.listed, m.role, m.state) = ((*name).into(), true, Role::Follower, MemberState::Ok);
        members.push(m);
    }
    let mut view = ClusterView::empty(Timestamp::UNIX_EPOCH);
    for (i, at, body) in recording(name) {
        let m = &mut members[i];
        match parse(&body) {
            Ok(sample) => {
                m.id = sample.server_id.or(m.id);
                m.status = Some(MemberStatus {
                    member_id: m.id.unwrap(),
                    cluster_id: ClusterId(1),
                    version: "3.6.16".into(),
                    storage_version: None,
                    db_size: sample.db_size,
                    db_size_in_use: sample.db_size_in_use,
                    db_quota: sample.quota,
                    leader: None,
                    raft_term: Term(2),
                    raft_index: RaftIndex(1),
                    raft_applied_index: RaftIndex(1),
                    revision: Revision(1),
                    is_learner: false,
                    errors: Vec::new(),
                    downgrade_target: None,
                });
                (m.metrics, m.metrics_at, m.status_at) = (Some(sample.into()), Some(at), Some(at));
                m.state = MemberState::Ok;
            }
            Err(_) => m.state = MemberState::Refused,
        }
        view = ClusterView { at, members: members.clone(), ..ClusterView::empty(at) };
        history.push(&view);
    }
    (view, history)
}

/// What the mixin says at the end of a recording: by alert and severity, by member and method, the value and whether it
/// fires.
type Alerts = BTreeMap<(String, String), Vec<(BTreeMap<String, String>, Option<f64>, bool)>>;

fn mixin(name: &str) -> Alerts {
    let folder = cache_folder().join("mixin");
    let output = Command::new(folder.join("mixin-eval"))
        .arg("--rules")
        .arg(folder.join("alerts.json"))
        .arg("--scrapes")
        .arg(path(name))
        .output()
        .unwrap_or_else(|e| panic!("{}: {e} (`make fetch` builds it)", folder.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let mut alerts = Alerts::new();
    for alert in told["alerts"].as_array().unwrap() {
        let results = alert["results"].as_array().unwrap().iter().map(|r| {
            let labels = r["labels"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), text(v))).collect();
            (labels, r["value"].as_f64(), r["firing"].as_bool().unwrap())
        });
        alerts.insert((text(&alert["alert"]), text(&alert["severity"])), results.collect());
    }
    assert!(alerts.len() >= 12, "{alerts:?}");
    alerts
}

const ALL: [&str; 7] = ["healthy", "slow-disk", "slower-disk", "slow-link", "failing", "churn", "restart"];

/// How far apart two figures may lie. Prometheus extrapolates each bucket of a window by itself towards its edges (a
/// counter not below 0), and what is kept here of the older scrapes is thinned.
fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 0.01 * theirs.abs().max(1e-3)
}

#[test]
fn quantiles_are_those_of_the_mixin() {
    let mut compared = 0;
    for name in ALL {
        let (view, history) = history(name);
        let alerts = mixin(name);
        for (alert, severity) in [
            ("etcdHighFsyncDurations", "warning"),
            ("etcdHighCommitDurations", "warning"),
            ("etcdMemberCommunicationSlow", "warning"),
            ("etcdGRPCRequestsSlow", "critical"),
        ] {
            for (labels, value, _) in &alerts[&(alert.to_owned(), severity.to_owned())] {
                let Some(theirs) = value else { continue };
                let id =
                    view.members.iter().find(|m| m.label() == labels["instance"]).and_then(|m| m.id).unwrap();
                let window = history.window(id, MIXIN_WINDOW).unwrap();
                let spread = match alert {
                    "etcdHighFsyncDurations" => window.spread(|s| s.wal_fsync.as_ref()),
                    "etcdHighCommitDurations" => window.spread(|s| s.backend_commit.as_ref()),
                    "etcdMemberCommunicationSlow" => {
                        let to = MemberId(u64::from_str_radix(&labels["To"], 16).unwrap());
                        window.spread(|s| s.rtt_to(to))
                    }
                    _ => {
                        let wanted = format!("/{}", labels["grpc_method"]);
                        let newest = window.newest().unwrap();
                        let method = newest.methods.iter().map(|(m, _)| m).find(|m| m.0.ends_with(&wanted));
                        method.and_then(|m| window.spread(|s| s.calls(m)?.handling.as_ref()))
                    }
                };
                let ours =
                    spread.unwrap_or_else(|| panic!("{name} {alert} {labels:?}: nothing")).p99.as_secs_f64();
                assert!(
                    close(ours, *theirs),
                    "{name} {alert} {labels:?}: {ours} here, {theirs} in the mixin"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "only {compared} figures were compared");
}

/// The findings of a rule, as member and severity.
fn told(found: &[Finding], view: &ClusterView, rule: &str) -> Vec<(String, Severity)> {
    let member = |f: &Finding| f.key.member.map_or_else(String::new, |id| view.name_of(id));
    found.iter().filter(|f| f.key.rule == rule).map(|f| (member(f), f.severity)).collect()
}

/// Whether slow requests of a member are of methods that were called fewer than 20 times.
fn only_few(view: &ClusterView, history: &History, alerts: &Alerts, member: &str) -> bool {
    let id = view.members.iter().find(|m| m.label() == member).and_then(|m| m.id).unwrap();
    let Some(window) = history.window(id, MIXIN_WINDOW) else { return false };
    let firing = alerts[&("etcdGRPCRequestsSlow".to_owned(), "critical".to_owned())]
        .iter()
        .filter(|(labels, _, firing)| *firing && labels["instance"] == member);
    let counts: Vec<u64> = firing
        .map(|(labels, ..)| {
            let wanted = format!("/{}", labels["grpc_method"]);
            let method =
                window.newest().unwrap().methods.iter().map(|(m, _)| m).find(|m| m.0.ends_with(&wanted));
            window.increase(|s| Some(s.calls(method.unwrap()).map_or(0, |c| c.handled))).unwrap()
        })
        .collect();
    !counts.is_empty() && counts.iter().all(|n| *n < 20)
}

/// Which members an alert fires for.
fn firing(alerts: &Alerts, alert: &str, severity: &str) -> Vec<String> {
    let results = alerts.get(&(alert.to_owned(), severity.to_owned()));
    let mut members: Vec<_> = results
        .into_iter()
        .flatten()
        .filter(|(.., firing)| *firing)
        .map(|(labels, ..)| labels.get("instance").cloned().unwrap_or_default())
        .collect();
    members.sort();
    members.dedup();
    members
}

#[test]
fn severities_are_those_of_the_mixin() {
    let mut fired = 0;
    for name in ALL {
        let (view, history) = history(name);
        let found = findings(&Case::new(&view, &history));
        let alerts = mixin(name);
        for (rule, alert) in [
            ("fsync_slow", "etcdHighFsyncDurations"),
            ("commit_slow", "etcdHighCommitDurations"),
            ("rtt_slow", "etcdMemberCommunicationSlow"),
            ("requests_failed", "etcdHighNumberOfFailedGRPCRequests"),
            ("requests_slow", "etcdGRPCRequestsSlow"),
            ("proposals_failed", "etcdHighNumberOfFailedProposals"),
        ] {
            for member in NAMES {
                let ours =
                    told(&found, &view, rule).into_iter().filter(|(m, _)| m == member).map(|(_, s)| s).max();
                let pages = |severity: &str| firing(&alerts, alert, severity).iter().any(|m| m == member);
                let theirs = match (pages("critical"), pages("warning")) {
                    (true, _) => Some(Severity::Critical),
                    (false, true) => Some(Severity::Warning),
                    (false, false) => None,
                };
                // A note is ours: the stricter values of etcd's documents.
                let ours_above = ours.filter(|s| *s > Severity::Note);
                // Of fewer than 20 calls nothing is said: the recordings have a compaction or two on m1.
                let few = rule == "requests_slow" && only_few(&view, &history, &alerts, member);
                assert!(
                    ours_above == theirs || few,
                    "{name} {rule} {member}: {ours:?} here, {theirs:?} in the mixin"
                );
                fired += usize::from(theirs.is_some());
            }
        }
        // Of the whole cluster, or of all members in one finding.
        for (rule, alert, severity, ours) in [
            ("leader_changes", "etcdHighNumberOfLeaderChanges", "warning", Severity::Warning),
            ("quota_nearly_full", "etcdDatabaseQuotaLowSpace", "critical", Severity::Critical),
            ("fragmented", "etcdDatabaseHighFragmentationRatio", "warning", Severity::Warning),
        ] {
            let here = told(&found, &view, rule).iter().any(|(_, s)| *s == ours);
            let there = !firing(&alerts, alert, severity).is_empty();
            assert_eq!(here, there, "{name} {rule}: {found:#?}");
            fired += usize::from(there);
        }
    }
    assert!(fired >= 12, "only {fired} alerts fired in all recordings");
}

#[test]
fn shares_and_counts_are_those_of_the_mixin() {
    let (view, history) = history("failing");
    let alerts = mixin("failing");
    let mut compared = 0;
    let failing = &alerts[&("etcdHighNumberOfFailedGRPCRequests".to_owned(), "critical".to_owned())];
    for (labels, value, _) in failing {
        let Some(theirs) = value.filter(|v| *v > 0.0) else { continue };
        let id = view.members.iter().find(|m| m.label() == labels["instance"]).and_then(|m| m.id).unwrap();
        let window = history.window(id, MIXIN_WINDOW).unwrap();
        let method = window.newest().unwrap().methods.iter().map(|(m, _)| m);
        let wanted = format!("/{}", labels["grpc_method"]);
        let method = method.into_iter().find(|m| m.0.ends_with(&wanted)).unwrap();
        let of = |pick: fn(&etcdtop::model::metrics::Calls) -> u64| {
            let count = window.increase(|s| Some(s.calls(method).map_or(0, pick))).unwrap();
            u32::try_from(count).unwrap()
        };
        let ours = 100.0 * f64::from(of(|c| c.failed)) / f64::from(of(|c| c.handled));
        assert!(close(ours, theirs), "{labels:?}: {ours} here, {theirs} in the mixin");
        compared += 1;
    }
    for (labels, value, _) in &alerts[&("etcdDatabaseQuotaLowSpace".to_owned(), "critical".to_owned())] {
        let m = view.members.iter().find(|m| m.label() == labels["instance"]).unwrap();
        let s = m.status.as_ref().unwrap();
        let share = |of: Option<Bytes>| 100.0 * of.unwrap().share_of(s.db_quota.unwrap());
        assert!(close(share(s.db_size), value.unwrap()), "{labels:?}");
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} figures were compared");
}

/// Whether Prometheus' own parser reads a page of metrics, each series once; its words if it does not.
pub fn prometheus_reads(page: &str) -> Result<(), String> {
    let folder = cache_folder().join("mixin");
    let scrape = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scrape.path(), format!("# scrape m1 1000\n{page}")).unwrap();
    let output = Command::new(folder.join("mixin-eval"))
        .arg("--rules")
        .arg(folder.join("alerts.json"))
        .arg("--scrapes")
        .arg(scrape.path())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e} (`make fetch` builds it)", folder.display()));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn what_is_no_page_of_metrics_is_refused() {
    assert_eq!(prometheus_reads("a{b=\"c\"} 1\n"), Ok(()));
    for wrong in ["a{b=\"c} 1\n", "a{b=\"c\"} one\n", "a{b=\"c\"} 1\na{b=\"c\"} 1\n"] {
        assert!(prometheus_reads(wrong).is_err(), "{wrong}");
    }
}
