//! `etcdtop health`: a linearizable read through each member, as a monitoring plugin.

use std::time::Duration;

use color_eyre::Result;
use serde::Serialize;
use tokio::task::JoinSet;

use super::args::Cli;
use super::connect::{access, output, poll_options, print, print_json, run_to_end, settings, warn};
use super::exit::{Exit, Plugin};
use super::status::{refuse_to_mix, settled};
use super::table::table;
use crate::config::{OutputFormat, Settings};
use crate::diagnose::{self, Case};
use crate::etcd::{Access, Dialer, Fault};
use crate::model::units::latency;
use crate::model::verdict::judge;
use crate::model::{ClusterView, Endpoint, ForeignText, MemberId, MemberState, Verdict, VerdictKind};
use crate::poll::Poll;
use crate::poll::history::History;

/// `health -o json`.
#[derive(Serialize)]
pub(super) struct HealthJson<'a> {
    verdict: VerdictKind,
    reason: &'a str,
    members: &'a [Checked],
}

#[derive(Serialize)]
pub(super) struct Checked {
    id: Option<MemberId>,
    name: ForeignText,
    endpoint: Option<Endpoint>,
    pub(super) healthy: bool,
    /// Of the read.
    latency_ms: Option<f64>,
    error: Option<String>,
    #[serde(skip)]
    pub(super) took: Option<Duration>,
    /// A learner's health says nothing about the cluster's.
    #[serde(skip)]
    votes: bool,
}

/// Whether reads go through.
pub(super) struct Health {
    pub(super) verdict: Verdict,
    pub(super) checked: Vec<Checked>,
}

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    let settings = settings(cli)?;
    warn(&settings);
    let access = access(&settings)?;
    let health = run_to_end(look(&settings, access))?;
    match output(&settings) {
        OutputFormat::Table => print(&human(&health.checked, &health.verdict))?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&health.json())?,
    }
    Ok(health.exit())
}

/// Reads through each member once.
pub(super) async fn look(settings: &Settings, access: Access) -> Result<Health> {
    // With /metrics: before 3.6 the quota is known from there alone, and `status` must not say otherwise.
    let options = poll_options(access, settings).await?;
    let dialer = options.dialer.clone();
    let view =
        Poll::start(options).settled(dialer.access().dial_timeout + dialer.access().command_timeout).await;
    let checked = check_all(&view, &dialer).await;
    refuse_to_mix(&view)?;
    let verdict = settled(&view, judge(&view, &diagnose::findings(&Case::new(&view, &History::default()))));
    Ok(Health { verdict, checked })
}

impl Health {
    /// As JSON.
    pub(super) fn json(&self) -> HealthJson<'_> {
        HealthJson { verdict: self.verdict.kind, reason: &self.verdict.reason, members: &self.checked }
    }

    pub(super) fn exit(&self) -> Exit {
        exit(self.verdict.kind, &self.checked)
    }
}

/// All members at once: a hung one must not hold up the others.
async fn check_all(view: &ClusterView, dialer: &Dialer) -> Vec<Checked> {
    let mut reads = JoinSet::new();
    let mut checked: Vec<_> = Vec::with_capacity(view.members.len());
    for (i, m) in view.members.iter().enumerate() {
        let mut row = Checked {
            id: m.id,
            name: m.name.clone(),
            endpoint: m.endpoint.clone(),
            healthy: false,
            latency_ms: None,
            error: m.detail.as_ref().map(ToString::to_string),
            took: None,
            votes: !m.learner,
        };
        match &m.endpoint {
            Some(endpoint) if m.state.answers() => {
                let (dialer, endpoint) = (dialer.clone(), endpoint.clone());
                reads.spawn(async move { (i, read(&dialer, &endpoint).await) });
            }
            _ => row.error = row.error.or_else(|| Some(m.state.word().to_owned())),
        }
        // A learner refuses linearizable reads by design: that it answers Status is its health.
        if m.learner && m.state == MemberState::Ok {
            row.healthy = true;
        }
        checked.push(row);
    }
    while let Some(Ok((i, outcome))) = reads.join_next().await {
        let Some(row) = checked.get_mut(i) else { continue };
        match outcome {
            Ok(took) => {
                row.healthy = true;
                row.took = Some(took);
                row.latency_ms = Some((took.as_secs_f64() * 1e4).round() / 10.0);
                row.error = None;
            }
            Err(Fault::Learner) => {}
            Err(fault) => {
                row.healthy = false;
                row.error = Some(format!("linearizable read: {fault}"));
            }
        }
    }
    checked
}

async fn read(dialer: &Dialer, endpoint: &Endpoint) -> Result<Duration, Fault> {
    let connection = dialer.connect(endpoint).await?;
    connection.read(true, dialer.access().command_timeout).await
}

/// A cluster that nobody reaches is down for whoever asks: critical, not unknown.
fn exit(verdict: VerdictKind, checked: &[Checked]) -> Exit {
    let read = |c: &Checked| c.votes && c.healthy;
    Exit::Plugin(match verdict {
        _ if !checked.iter().any(read) => Plugin::Critical,
        VerdictKind::Healthy if checked.iter().all(|c| c.healthy) => Plugin::Ok,
        VerdictKind::Healthy | VerdictKind::Warning | VerdictKind::Degraded => Plugin::Warning,
        _ => Plugin::Critical,
    })
}

fn human(checked: &[Checked], verdict: &Verdict) -> String {
    let rows: Vec<_> = checked
        .iter()
        .map(|c| {
            vec![
                if c.name.is_empty() { "-".into() } else { c.name.to_string() },
                c.endpoint.as_ref().map_or_else(|| "-".into(), ToString::to_string),
                if c.healthy { "healthy" } else { "unhealthy" }.into(),
                c.took.map_or_else(|| "-".into(), latency),
                c.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let reason = if verdict.reason.is_empty() { String::new() } else { format!(": {}", verdict.reason) };
    // Members that serve, and reads that are refused all the same: without a user, say.
    let serves = matches!(verdict.kind, VerdictKind::Healthy | VerdictKind::Warning);
    let refused = match checked.iter().filter(|c| serves && !c.healthy).count() {
        0 => String::new(),
        all if all == checked.len() => "\nno read goes through".into(),
        some => format!("\n{some} of {} members answer no read", checked.len()),
    };
    format!(
        "{}\n{}{reason}{refused}\n",
        table(&["NAME", "ENDPOINT", "HEALTH", "READ", "ERROR"], &rows, &[3]),
        verdict.headline
    )
}
