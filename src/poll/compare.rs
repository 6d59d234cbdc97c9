//! The members' data beside each other: `HashKV` of every member, at one revision that all of them have.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::Handle;
use crate::etcd::{Connection, Dialer, Fault};
use crate::model::hashes::{Comparison, HashAnswer};
use crate::model::{ClusterView, Endpoint, MemberView, Revision};

/// How long a member may read its keys. It took 4 s for a million keys and 280 MB of values.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a member may take for its `Status`.
const STATUS_LIMIT: Duration = Duration::from_secs(3);
/// A compaction that ran in between makes hashes incomparable: then it is asked again, at a newer revision.
const ATTEMPTS: usize = 3;

/// Who is asked, and over what.
struct Asked {
    row: MemberView,
    connection: Result<Connection, String>,
}

/// Asks every member of the list, all at the same time, as etcd's own check does.
///
/// # Errors
/// No member could be asked.
pub async fn compare(view: &ClusterView, poll: &Handle, dialer: &Dialer) -> Result<Comparison, String> {
    let mut asked = Vec::new();
    for row in view.members.iter().filter(|m| m.listed && m.id.is_some()) {
        let connection = match &row.endpoint {
            Some(endpoint) if row.state.answers() => connect(endpoint, poll, dialer).await,
            _ => Err(row.state.shown().to_owned()),
        };
        asked.push(Asked { row: row.clone(), connection });
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        let comparison = once(&mut asked).await?;
        let mut floors: Vec<_> = comparison.answers.iter().filter_map(|a| a.compact_revision).collect();
        floors.sort_unstable();
        floors.dedup();
        let compacted = |a: &HashAnswer| a.problem.as_ref().is_some_and(|p| p.contains("compacted"));
        if floors.len() < 2 && !comparison.answers.iter().any(compacted) || attempt == ATTEMPTS {
            return Ok(comparison);
        }
    }
}

async fn connect(endpoint: &Endpoint, poll: &Handle, dialer: &Dialer) -> Result<Connection, String> {
    match poll.connection(endpoint) {
        Some(connection) => Ok(connection),
        None => dialer.connect(endpoint).await.map_err(|fault| fault.to_string()),
    }
}

async fn once(asked: &mut [Asked]) -> Result<Comparison, String> {
    let at = Timestamp::now();
    let revision = common_revision(asked).await?;
    let mut calls = JoinSet::new();
    for (i, member) in asked.iter().enumerate() {
        if let Ok(connection) = &member.connection {
            let connection = connection.clone();
            calls.spawn(async move { (i, connection.hash_kv(revision, LIMIT).await) });
        }
    }
    let mut told: Vec<Option<Result<_, Fault>>> = asked.iter().map(|_| None).collect();
    while let Some(done) = calls.join_next().await {
        let (i, answer) = done.map_err(|e| format!("internal error: {e}"))?;
        told[i] = Some(answer);
    }
    let answers = asked.iter().zip(told).filter_map(|(member, told)| {
        let (hash, problem) = match (&member.connection, told) {
            (_, Some(Ok(hash))) => (Some(hash), None),
            (_, Some(Err(fault))) => (None, Some(fault.to_string())),
            (Err(why), None) => (None, Some(why.clone())),
            (Ok(_), None) => (None, Some("was not asked".to_owned())),
        };
        Some(HashAnswer {
            member: member.row.id?,
            name: member.row.label(),
            hash: hash.map(|h| h.hash),
            compact_revision: hash.map(|h| h.compact_revision),
            problem,
        })
    });
    Ok(Comparison { revision, at, answers: answers.collect() })
}

/// The newest revision that each of them has; who does not tell it is not asked for the hash either.
async fn common_revision(asked: &mut [Asked]) -> Result<Revision, String> {
    let mut lowest: Option<Revision> = None;
    for member in asked.iter_mut() {
        let Ok(connection) = &member.connection else { continue };
        match connection.status(STATUS_LIMIT).await {
            Ok(status) => lowest = Some(lowest.map_or(status.revision, |r| r.min(status.revision))),
            Err(fault) => member.connection = Err(fault.to_string()),
        }
    }
    lowest.ok_or_else(|| "no member answers".to_owned())
}
