//! The one line that says how the cluster is, worst first, right on a broken cluster.

use serde::Serialize;

use super::cluster::{ClusterView, Conflict, Outage};
use super::finding::{Finding, Severity};
use super::member::{MemberState, MemberView};
use super::status::AlarmKind;

/// The verdicts, the worst last so that they order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// No answer yet, and no failure either.
    Connecting,
    /// All members serve and nothing is found.
    Healthy,
    /// All members serve; something will become a problem.
    Warning,
    /// A member does not serve, or the members contradict each other.
    Degraded,
    /// NOSPACE: reads and deletes work, puts fail.
    ReadOnly,
    /// CORRUPT: writes fail.
    Corrupt,
    /// A quorum of voters answers, but none of them has a leader.
    NoLeader,
    /// Too few voters serve for anything to be committed.
    QuorumLost,
    /// No member answers.
    Unreachable,
}

impl VerdictKind {
    /// The headline's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "CONNECTING",
            Self::Healthy => "HEALTHY",
            Self::Warning => "WARNING",
            Self::Degraded => "DEGRADED",
            Self::ReadOnly => "READ-ONLY (NOSPACE)",
            Self::Corrupt => "CORRUPT",
            Self::NoLeader => "NO LEADER",
            Self::QuorumLost => "QUORUM LOST",
            Self::Unreachable => "UNREACHABLE",
        }
    }

    /// Whether the cluster takes writes, as far as this verdict tells.
    #[must_use]
    pub const fn takes_writes(self) -> bool {
        matches!(self, Self::Healthy | Self::Warning | Self::Degraded)
    }
}

/// The verdict and the reason for it. Both texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub kind: VerdictKind,
    /// `QUORUM LOST 1/3`.
    pub headline: String,
    /// The reason in words; empty when healthy.
    pub reason: String,
}

/// Judges a view. `findings` are those of `diagnose` on the same view, worst first; they only matter when
/// nothing worse is the case.
#[must_use]
pub fn judge(view: &ClusterView, findings: &[Finding]) -> Verdict {
    let verdict = |kind: VerdictKind, headline: String, reason: String| Verdict { kind, headline, reason };
    let plain = |kind: VerdictKind, reason: String| verdict(kind, kind.word().to_owned(), reason);

    match view.outage() {
        Some(Outage::Unreachable) => return plain(VerdictKind::Unreachable, troubles(view).join("; ")),
        Some(outage @ Outage::QuorumLost { answering, voters, .. }) => {
            let headline = format!("{} {answering}/{voters}", VerdictKind::QuorumLost.word());
            return verdict(VerdictKind::QuorumLost, headline, outage_reason(view, outage));
        }
        Some(outage @ Outage::NoLeader { .. }) => {
            return plain(VerdictKind::NoLeader, outage_reason(view, outage));
        }
        None if !view.members.iter().any(|m| m.state.answers()) => {
            return plain(VerdictKind::Connecting, waiting_for(view));
        }
        None => {}
    }
    let corrupt = view.raisers(AlarmKind::Corrupt);
    if !corrupt.is_empty() {
        return plain(VerdictKind::Corrupt, format!("CORRUPT alarm raised by {corrupt}: writes fail"));
    }
    let nospace = view.raisers(AlarmKind::NoSpace);
    if !nospace.is_empty() {
        return plain(VerdictKind::ReadOnly, no_space_reason(view, &nospace));
    }
    let troubles = troubles(view);
    if !troubles.is_empty() || !view.conflicts.is_empty() {
        let mut parts = troubles;
        parts.extend(view.conflicts.iter().map(|c| conflict_line(view, c)));
        if let Some(n) = view.can_lose() {
            parts.push(can_lose_words(n));
        }
        return plain(VerdictKind::Degraded, parts.join("; "));
    }
    // Nothing is wrong with those that answered; whether all is well only the others can tell.
    if view.voters() == 0 || view.members.iter().any(|m| m.state == MemberState::Connecting) {
        return plain(VerdictKind::Connecting, waiting_for(view));
    }
    match findings.first().filter(|f| f.severity >= Severity::Warning) {
        Some(worst) => plain(VerdictKind::Warning, worst.line.clone()),
        None => plain(VerdictKind::Healthy, String::new()),
    }
}

/// `1 of 3 voters answers, 2 are needed`, and what ails the others. Members that only lack the leader are not at fault.
fn outage_reason(view: &ClusterView, outage: Outage) -> String {
    let ailing = view.ailing();
    let at_fault = |g: &&Vec<&MemberView>| !matches!(g[0].state, MemberState::NoLeader | MemberState::Slow);
    let silent = ailing.iter().filter(at_fault).map(|g| trouble(g));
    std::iter::once(outage.to_string()).chain(silent).collect::<Vec<_>>().join("; ")
}

/// `cluster can lose 1 more member`.
fn can_lose_words(n: usize) -> String {
    format!("cluster can lose {n} more")
}

fn waiting_for(view: &ClusterView) -> String {
    let names: Vec<_> = view
        .members
        .iter()
        .filter(|m| m.state == MemberState::Connecting)
        .map(|m| match &m.detail {
            Some(detail) => format!("{} ({detail})", m.label()),
            None => m.label(),
        })
        .collect();
    match (names.is_empty(), view.members.is_empty()) {
        (false, _) => format!("waiting for {}", names.join(", ")),
        (true, false) => view.list_refused.as_ref().map_or_else(
            || "waiting for the member list".into(),
            |reason| format!("nobody tells the member list: {reason}"),
        ),
        (true, true) => "waiting for endpoints".into(),
    }
}

/// What ails members that do not serve, a phrase each or for all of a kind. Slow ones serve; a learner that was never
/// started is missed by nobody.
fn troubles(view: &ClusterView) -> Vec<String> {
    let missed = |g: &&Vec<&MemberView>| match g[0].state {
        MemberState::Slow => false,
        MemberState::Unstarted => g[0].is_voter(),
        _ => true,
    };
    view.ailing().iter().filter(missed).map(|g| trouble(g)).collect()
}

fn trouble(group: &[&MemberView]) -> String {
    let Some(m) = group.first() else { return String::new() };
    let many = group.len() > 1;
    let what = match m.state {
        MemberState::NoLeader if many => "have no leader".to_owned(),
        MemberState::NoLeader => "has no leader".to_owned(),
        MemberState::Unstarted if many => "were never started".to_owned(),
        MemberState::Unstarted => "was never started".to_owned(),
        MemberState::Failing => String::new(),
        MemberState::Tls => "TLS".to_owned(),
        other => other.word().to_owned(),
    };
    let names: Vec<_> = group.iter().map(|m| m.label()).collect();
    let names = names.join(", ");
    // Of several, the reason of one is not that of all.
    let detail = m.detail.as_ref().filter(|d| group.iter().all(|other| other.detail.as_ref() == Some(*d)));
    match detail {
        Some(detail) if what.is_empty() => format!("{names}: {detail}"),
        Some(detail) => format!("{names} {what}: {detail}"),
        None => format!("{names} {what}"),
    }
}

fn conflict_line(view: &ClusterView, conflict: &Conflict) -> String {
    match conflict {
        Conflict::OtherCluster { endpoint, cluster_id } => {
            format!("{endpoint} belongs to another cluster ({cluster_id}) and is left out")
        }
        Conflict::MemberListsDiffer { member } => {
            format!("{} has another member list", view.name_of(*member))
        }
        Conflict::LeadersDiffer { term } => format!("members name different leaders in term {}", term.0),
    }
}

fn no_space_reason(view: &ClusterView, raisers: &str) -> String {
    let Some((size, quota)) = view.fullest() else {
        return format!("NOSPACE raised by {raisers}: puts fail");
    };
    if size < quota {
        format!(
            "NOSPACE raised by {raisers}: puts fail until it is disarmed; db {size} is below its quota {quota} again"
        )
    } else {
        format!("NOSPACE raised by {raisers}: db {size} of quota {quota}; puts fail")
    }
}
