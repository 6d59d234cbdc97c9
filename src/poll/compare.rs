//! The members' data beside each other: `HashKV` of every member, at one revision that all of them have.

use std::time::Duration;

use jiff::Timestamp;

use super::Handle;
use crate::etcd::{Connection, Dialer};
use crate::model::hashes::{Comparison, HashAnswer};
use crate::model::{ClusterView, Endpoint, MemberId, MemberView, Revision, Role};

/// How long a member may read its keys: 0.1 s was seen for 120,000 small ones; large stores on slow disks take their time.
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

/// Asks every voter, one after the other, the leader last: while a member reads its keys for the hash it applies nothing,
/// and writes through it wait (etcd holds the backend's read lock). Learners do not serve `HashKV`.
///
/// # Errors
/// No member could be asked.
pub async fn compare(view: &ClusterView, poll: &Handle, dialer: &Dialer) -> Result<Comparison, String> {
    let mut voters: Vec<&MemberView> =
        view.members.iter().filter(|m| m.is_voter() && m.id.is_some()).collect();
    voters.sort_by_key(|m| m.role == Role::Leader);
    let mut asked = Vec::new();
    for row in voters {
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
    let mut answers = Vec::with_capacity(asked.len());
    for member in asked.iter() {
        let Some(id) = member.row.id else { continue };
        let told = match &member.connection {
            Ok(connection) => match connection.hash_kv(revision, LIMIT).await {
                Ok(told) if told.member == id => Ok(told),
                Ok(told) => Err(another(told.member)),
                Err(fault) => Err(fault.to_string()),
            },
            Err(why) => Err(why.clone()),
        };
        let known = told.as_ref().ok();
        answers.push(HashAnswer {
            member: id,
            name: member.row.label(),
            hash: known.map(|k| k.hash),
            compact_revision: known.map(|k| k.compact_revision),
            problem: told.err(),
        });
    }
    answers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Comparison { revision, at, answers })
}

/// Behind an address there may be somebody else by now: his hash must not be taken for that of another.
fn another(found: MemberId) -> String {
    format!("member {found} answers at its address")
}

/// The newest revision that each of them has; who does not tell it is not asked for the hash either.
async fn common_revision(asked: &mut [Asked]) -> Result<Revision, String> {
    let mut lowest: Option<Revision> = None;
    for member in asked.iter_mut() {
        let Ok(connection) = &member.connection else { continue };
        match connection.status(STATUS_LIMIT).await {
            Ok(status) if Some(status.member_id) != member.row.id => {
                member.connection = Err(another(status.member_id));
            }
            Ok(status) => lowest = Some(lowest.map_or(status.revision, |r| r.min(status.revision))),
            Err(fault) => member.connection = Err(fault.to_string()),
        }
    }
    lowest.ok_or_else(|| "no member answers".to_owned())
}
