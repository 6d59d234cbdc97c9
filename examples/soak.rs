//! Healthy clusters of every version, idle and under load, watched for minutes: nothing above a note may be found, and
//! nothing may flap. `make soak`; `soak MINUTES [VERSION]...` for less.

use std::collections::BTreeMap;
use std::time::Duration;

use etcdtop::diagnose::{Case, Damper, findings};
use etcdtop::etcd::Dialer;
use etcdtop::lab::{Cluster, Load, LoadKind, Spec};
use etcdtop::model::Severity;
use etcdtop::poll::history::History;
use etcdtop::poll::{Options, PATIENCE, Poll};
use tokio::time::{Instant, timeout};

/// What was seen on one cluster.
#[derive(Debug, Default)]
struct Seen {
    views: u64,
    /// By what it is about: how often it came, and how bad it was.
    came: BTreeMap<String, (u64, Severity)>,
    lines: Vec<String>,
}

async fn watch(version: &str, load: LoadKind, minutes: f64) -> Result<Seen, String> {
    let launcher = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.parent()?.join("etcdtop")));
    let spec =
        Spec { version: Some(version.into()), launcher: launcher.filter(|p| p.exists()), ..Spec::default() };
    let cluster = Cluster::start(&spec).await.map_err(|e| e.to_string())?;
    let _load = Load::start(&cluster, load);
    let endpoints = cluster.endpoints();
    let dialer = Dialer::new(cluster.access().clone(), &endpoints).map_err(|e| e.to_string())?;
    let poll = Poll::start(Options {
        dialer,
        endpoints,
        interval: Duration::from_secs(1),
        metrics_every: Some(Duration::from_secs(5)),
        patience: PATIENCE,
        known: Vec::new(),
    });
    poll.settled(Duration::from_secs(10)).await;
    let (mut history, mut damper, mut seen) = (History::default(), Damper::default(), Seen::default());
    let mut views = poll.views();
    let mut before: Vec<etcdtop::model::finding::FindingKey> = Vec::new();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while let Ok(Ok(())) = timeout(end.saturating_duration_since(Instant::now()), views.changed()).await {
        let view = views.borrow_and_update().clone();
        history.push(&view);
        let found = damper.settle(findings(&Case::new(&view, &history)), &view);
        seen.views += 1;
        for f in found.iter().filter(|f| !before.contains(&f.key)) {
            let came = seen.came.entry(format!("{:?}", f.key)).or_insert((0, f.severity));
            *came = (came.0 + 1, came.1.max(f.severity));
            let at = history.span().as_secs();
            seen.lines.push(format!(
                "{at:>4} s  {:<8}  {}  [{}]",
                f.severity.word(),
                f.line,
                f.evidence.join("; ")
            ));
        }
        before = found.into_iter().map(|f| f.key).collect();
    }
    Ok(seen)
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let minutes: f64 = args.next().and_then(|m| m.parse().ok()).unwrap_or(10.0);
    let mut versions: Vec<String> = args.collect();
    if versions.is_empty() {
        versions = ["3.4", "3.5", "3.6", "3.7"].map(String::from).to_vec();
    }
    let mut bad = false;
    // The idle clusters of all versions at once, then those under load: more starve each other on two cores.
    for (name, load) in [("idle", LoadKind::None), ("under load", LoadKind::Kubernetes)] {
        let mut running = tokio::task::JoinSet::new();
        for version in &versions {
            let version = version.clone();
            running.spawn(async move { (version.clone(), Box::pin(watch(&version, load, minutes)).await) });
        }
        while let Some(ended) = running.join_next().await {
            let Ok((version, outcome)) = ended else {
                bad = true;
                println!("a watcher ended by a defect: {ended:?}");
                continue;
            };
            match outcome {
                Err(why) => {
                    bad = true;
                    println!("{version} {name}: {why}");
                }
                Ok(seen) => {
                    let above = seen.came.values().any(|(_, severity)| *severity > Severity::Note);
                    let flaps = seen.came.values().any(|(times, _)| *times > 2);
                    // A poll that fell asleep sees nothing, either.
                    #[allow(clippy::cast_precision_loss)]
                    let asleep = (seen.views as f64) < minutes * 60.0 * 0.9;
                    bad |= above || flaps || asleep;
                    let word = if above {
                        "ABOVE NOTE"
                    } else if flaps {
                        "FLAPS"
                    } else if asleep {
                        "TOO FEW VIEWS"
                    } else {
                        "well"
                    };
                    println!("{version} {name}, {minutes} min, {} views: {word}", seen.views);
                    for line in &seen.lines {
                        println!("    {line}");
                    }
                }
            }
        }
    }
    std::process::exit(i32::from(bad));
}
