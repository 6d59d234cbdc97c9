//! Operations as dashboard and commands carry them out, and data to carry them out on.

use std::collections::BTreeMap;
use std::path::Path;

use etcdtop::etcd::Dialer;
use etcdtop::model::ClusterView;
use etcdtop::ops::journal::{End, Journal, StepEnd};
use etcdtop::ops::past::{self, History};
use etcdtop::ops::plan::{Plan, Request};
use etcdtop::ops::planner::{self, Situation};
use etcdtop::ops::world::Live;
use etcdtop::ops::{Engine, Limits, OpEvent, Progress};
use etcdtop::ops::{Mode, confirm};
use etcdtop::poll::Handle;
use tokio::sync::watch;

use super::cluster::TestCluster;
use super::watch::Watch;

/// A dialer for a cluster.
pub fn dialer(cluster: &TestCluster) -> Dialer {
    Dialer::new(cluster.access().clone(), &cluster.endpoints()).unwrap()
}

pub fn plan(request: &Request, view: &ClusterView) -> Result<Plan, String> {
    let rates = BTreeMap::new();
    planner::plan(
        request,
        Situation {
            view,
            cluster_name: "test",
            rates: &rates,
            last_snapshot: Some(view.at),
            snapshot_first: None,
            place: None,
            busy: None,
            proof_key: "etcdtop/proof",
            terms: None,
        },
    )
    .map_err(|e| e.to_string())
}

/// What a run left behind.
pub struct Ran {
    pub end: End,
    pub events: Vec<OpEvent>,
    pub past: History,
}

impl Ran {
    pub fn ends(&self) -> Vec<&StepEnd> {
        fn ended(e: &OpEvent) -> Option<&StepEnd> {
            match e {
                OpEvent::StepEnded { end, .. } => Some(end),
                _ => None,
            }
        }
        self.events.iter().filter_map(ended).collect()
    }
}

/// Carries a plan out on a cluster that is watched.
pub async fn run(dialer: &Dialer, watched: &Watch, plan: Plan, limits: Limits, journals: &Path) -> Ran {
    run_telling(dialer, watched.poll().handle(), plan, limits, journals, |_| {}).await
}

/// The same; `on_event` hears of each event before the engine goes on.
pub async fn run_telling(
    dialer: &Dialer,
    poll: Handle,
    plan: Plan,
    limits: Limits,
    journals: &Path,
    on_event: impl Fn(&OpEvent) + Send,
) -> Ran {
    let id = plan.cluster;
    let name = plan.name_to_type.clone();
    let confirmed = confirm(plan, &Mode::ReadWrite, &name).unwrap();
    let world = Live::new(dialer.clone(), id, poll);
    let journal = Journal::open(journals, id).unwrap();
    let (_stop, stop) = watch::channel(None);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let engine = Engine::new(
        world,
        journal,
        move |e| {
            on_event(&e);
            tell.send(e).unwrap();
        },
        limits,
        stop,
        watch::Sender::new(Progress::default()),
    );
    let end = Box::pin(engine.run(confirmed, "test")).await;
    let mut events = Vec::new();
    while let Some(event) = told.recv().await {
        events.push(event);
    }
    Ran { end, events, past: past::read(journals, id) }
}

/// Revisions of large values, most of them history.
pub fn fill(cluster: &TestCluster, keys: usize, rounds: usize, kib: usize) {
    let value = "x".repeat(kib << 10);
    for round in 0..rounds {
        for key in 0..keys {
            let output = std::process::Command::new(&cluster.binaries().etcdctl)
                .env("ETCDCTL_API", "3")
                .args(["--endpoints", &cluster.endpoints_text(), "put", &format!("/fill/{key}")])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .and_then(|mut child| {
                    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes())?;
                    child.wait_with_output()
                })
                .unwrap();
            if String::from_utf8_lossy(&output.stderr).contains("database space exceeded") {
                return;
            }
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
