//! `etcdtop status`: every member, one row each.

use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use serde::Serialize;

use super::args::Cli;
use super::connect::{access, output, poll_options, print, print_json, run_to_end, settings, warn};
use super::exit::Exit;
use super::table::table;
use crate::config::{OutputFormat, Settings};
use crate::diagnose::{self, Case};
use crate::etcd::Access;
use crate::model::units::{grouped, latency, percent};
use crate::model::verdict::judge;
use crate::model::{
    AlarmKind, Bytes, ClusterId, ClusterView, Conflict, ForeignText, MemberId, MemberState, MemberView,
    RaftIndex, Revision, Role, Term, Verdict, VerdictKind,
};
use crate::poll::Poll;
use crate::poll::history::History;

/// `status -o json`. What is not known is null.
#[derive(Serialize)]
pub(super) struct StatusJson<'a> {
    cluster_id: Option<ClusterId>,
    verdict: VerdictKind,
    reason: &'a str,
    leader_id: Option<MemberId>,
    raft_term: Option<Term>,
    revision: Option<Revision>,
    compact_revision: Option<Revision>,
    members_total: Option<usize>,
    members_ok: usize,
    can_lose: Option<usize>,
    members: Vec<MemberJson<'a>>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    id: Option<MemberId>,
    name: &'a ForeignText,
    endpoint: Option<&'a str>,
    client_urls: &'a [ForeignText],
    peer_urls: &'a [ForeignText],
    role: Role,
    state: MemberState,
    detail: Option<&'a ForeignText>,
    latency_ms: Option<f64>,
    version: Option<&'a ForeignText>,
    storage_version: Option<&'a ForeignText>,
    db_size: Option<Bytes>,
    db_size_in_use: Option<Bytes>,
    db_quota: Option<Bytes>,
    raft_term: Option<Term>,
    raft_index: Option<RaftIndex>,
    raft_applied_index: Option<RaftIndex>,
    lag: Option<u64>,
    alarms: &'a [AlarmKind],
    errors: &'a [ForeignText],
}

/// What one look at a cluster tells.
pub(super) struct Seen {
    pub(super) view: Arc<ClusterView>,
    pub(super) verdict: Verdict,
}

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    let settings = settings(cli)?;
    warn(&settings);
    let access = access(&settings)?;
    let seen = run_to_end(look(&settings, access))?;
    match output(&settings) {
        OutputFormat::Table => print(&human(&seen.view, &seen.verdict))?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&json(&seen.view, &seen.verdict))?,
    }
    Ok(seen.exit())
}

/// Looks at a cluster once.
pub(super) async fn look(settings: &Settings, access: Access) -> Result<Seen> {
    let options = poll_options(access, settings).await?;
    // Connect, one call, and a second's worth of member list and metrics.
    let limit = options.dialer.access().dial_timeout
        + options.dialer.access().command_timeout
        + Duration::from_secs(1);
    let view = Poll::start(options).settled(limit).await;
    refuse_to_mix(&view)?;
    let findings = diagnose::findings(&Case::new(&view, &History::default()));
    let verdict = settled(&view, judge(&view, &findings));
    Ok(Seen { view, verdict })
}

impl Seen {
    pub(super) fn exit(&self) -> Exit {
        let answers = self.view.members.iter().any(|m| m.state.answers());
        if answers { Exit::Done } else { Exit::Unreachable }
    }
}

/// Endpoints of two clusters: which one is meant? Nothing is shown rather than half of it.
pub(super) fn refuse_to_mix(view: &ClusterView) -> Result<()> {
    let others: Vec<_> = view
        .conflicts
        .iter()
        .filter_map(|c| match c {
            Conflict::OtherCluster { endpoint, cluster_id } => {
                Some(format!("{endpoint} belongs to cluster {cluster_id}"))
            }
            _ => None,
        })
        .collect();
    match (others.is_empty(), view.cluster_id) {
        (false, Some(id)) => Err(eyre!(
            "the endpoints belong to different clusters: {}, the others to {id}; name the endpoints of one cluster",
            others.join(", ")
        )),
        _ => Ok(()),
    }
}

pub(super) fn json<'a>(view: &'a ClusterView, verdict: &'a Verdict) -> StatusJson<'a> {
    StatusJson {
        cluster_id: view.cluster_id,
        verdict: verdict.kind,
        reason: &verdict.reason,
        leader_id: view.leader,
        raft_term: view.term,
        revision: view.revision,
        compact_revision: view.compact_revision,
        members_total: Some(view.listed()).filter(|n| *n > 0),
        members_ok: view.serving(),
        can_lose: view.can_lose(),
        members: view.members.iter().map(member_json).collect(),
    }
}

/// A single look has no "still connecting": who has not answered by now counts as missing.
pub(super) fn settled(view: &ClusterView, verdict: Verdict) -> Verdict {
    let kind = match verdict.kind {
        VerdictKind::Connecting if view.members.iter().any(|m| m.state.answers()) => VerdictKind::Degraded,
        VerdictKind::Connecting => VerdictKind::Unreachable,
        _ => return verdict,
    };
    Verdict { kind, headline: kind.word().to_owned(), reason: verdict.reason }
}

fn member_json(m: &MemberView) -> MemberJson<'_> {
    let s = m.status.as_ref();
    MemberJson {
        id: m.id,
        name: &m.name,
        endpoint: m.endpoint.as_ref().map(crate::model::Endpoint::raw),
        client_urls: &m.client_urls,
        peer_urls: &m.peer_urls,
        role: m.role,
        state: m.state,
        detail: m.detail.as_ref(),
        latency_ms: m.latency.map(|l| (l.as_secs_f64() * 1e4).round() / 10.0),
        version: s.map(|s| &s.version),
        storage_version: s.and_then(|s| s.storage_version.as_ref()),
        db_size: s.and_then(|s| s.db_size),
        db_size_in_use: s.and_then(|s| s.db_size_in_use),
        db_quota: m.quota().map(|(quota, _)| quota),
        raft_term: s.map(|s| s.raft_term),
        raft_index: s.map(|s| s.raft_index),
        raft_applied_index: s.map(|s| s.raft_applied_index),
        lag: m.lag,
        alarms: &m.alarms,
        errors: s.map_or(&[], |s| &s.errors),
    }
}

fn human(view: &ClusterView, verdict: &Verdict) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let rows: Vec<_> = view
        .members
        .iter()
        .map(|m| {
            let s = m.status.as_ref();
            let share = s.and_then(|s| Some(s.db_size_in_use?.share_of(s.db_size?)));
            let quota = m.quota().map(|(q, _)| q);
            let of_quota = s.and_then(|s| Some(s.db_size?.share_of(quota?)));
            vec![
                m.label(),
                or_dash(m.id.map(|id| id.to_string())),
                or_dash(m.endpoint.as_ref().map(ToString::to_string)),
                m.role.word().into(),
                m.state.word().into(),
                or_dash(m.latency.map(latency)),
                or_dash(s.map(|s| s.version.to_string())),
                or_dash(s.and_then(|s| s.db_size).map(|b| b.to_string())),
                or_dash(share.map(percent)),
                or_dash(of_quota.map(percent)),
                or_dash(s.map(|s| grouped(s.raft_term.0))),
                or_dash(s.map(|s| grouped(s.raft_index.0))),
                or_dash(m.lag.map(grouped)),
            ]
        })
        .collect();
    let head = [
        "NAME",
        "ID",
        "ENDPOINT",
        "ROLE",
        "STATE",
        "PING",
        "VERSION",
        "DB SIZE",
        "IN USE",
        "OF QUOTA",
        "TERM",
        "RAFT INDEX",
        "LAG",
    ];
    let mut out = table(&head, &rows, &[5, 7, 8, 9, 10, 11, 12]);
    let reason = if verdict.reason.is_empty() { String::new() } else { format!(": {}", verdict.reason) };
    out.push_str(&format!("\n{}{reason}\n", verdict.headline));
    if let (Some(n), true) = (view.can_lose(), verdict.kind == VerdictKind::Healthy) {
        out.push_str(&format!(
            "{} of {} members serve, the cluster can lose {n}\n",
            view.serving(),
            view.listed()
        ));
    }
    out
}
