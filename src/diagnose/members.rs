//! Findings about members: who does not serve, who votes, who runs what.

use std::time::Duration;

use crate::model::{ClusterView, Conflict, Finding, MemberState, Outage, Role, Severity};
use crate::poll::history::History;

/// No member answers, the quorum is lost, or nobody leads: at once.
pub(super) fn outage(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let Some(outage) = view.outage() else { return };
    let (rule, what, next, meaning) = match outage {
        Outage::Unreachable => (
            "unreachable",
            "unreachable",
            "check from here: network, firewall, certificates, endpoints",
            "Nothing is known of the cluster but that it cannot be reached from this host; it may well serve others.",
        ),
        Outage::QuorumLost { .. } => (
            "quorum_lost",
            "quorum lost",
            "take a snapshot now: it needs no quorum; then bring voters back",
            "Without a majority of voters nothing can be committed: no writes, no linearizable reads. Serializable reads and snapshots of a member that answers still work. If the voters are gone for good, the way back is a restore.",
        ),
        Outage::NoLeader { .. } => (
            "no_leader",
            "no leader",
            "wait some seconds; then look at the peers' network and disks",
            "An election takes about a second. One that does not end means that voters do not reach each other on their peer urls, or that their disks are too slow for the election timeout.",
        ),
    };
    let line = format!("{what}: {outage}");
    let f = Finding::new(rule, None, Severity::Critical, line, next, meaning);
    // The one thing that needs no quorum.
    found.push(if matches!(outage, Outage::QuorumLost { .. }) { f.done_by("snapshot") } else { f });
}

/// A member that does not answer, or has no leader: at once. When nobody has a leader that is a finding of the
/// cluster's, not of each member's.
pub(super) fn not_serving(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let outage = view.outage();
    for group in view.ailing() {
        let m = group[0];
        if m.state == MemberState::NoLeader && outage.is_some() {
            continue;
        }
        let (severity, next) = match m.state {
            MemberState::Ok | MemberState::Connecting | MemberState::Defragmenting => continue,
            MemberState::Slow => (Severity::Warning, "look at its disk and CPU"),
            MemberState::Hung => (Severity::Critical, "look at the process: stopped? disk stuck?"),
            MemberState::Refused => (Severity::Critical, "start etcd there, or read why it ended"),
            MemberState::Unreachable => (Severity::Critical, "check host, network and firewall"),
            MemberState::Tls => (Severity::Critical, "check certificates: etcdtop config show"),
            MemberState::Auth => (Severity::Critical, "check --user and its role"),
            MemberState::NoLeader => (Severity::Critical, "look at its peer urls and its log"),
            MemberState::Unstarted if m.learner => (Severity::Note, "start it, or remove it"),
            // Removing it takes a quorum, too.
            MemberState::Unstarted if outage.is_some() => {
                (Severity::Critical, "start it: its vote is needed")
            }
            MemberState::Unstarted => (Severity::Warning, "start it, or remove it: it counts for the quorum"),
            MemberState::Failing => (Severity::Critical, "read its log"),
        };
        let names: Vec<_> = group.iter().map(|m| m.label()).collect();
        let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
        let line = format!("{} {}{detail}", names.join(", "), m.state.shown());
        let subject = if m.id.is_none() || group.len() > 1 { Some(m.state.shown()) } else { None };
        let mut f = Finding::new(
            "member_not_serving",
            m.id.filter(|_| group.len() == 1),
            severity,
            line,
            next,
            "A member that does not serve counts against the quorum: the cluster survives only as long as a majority of voters does.",
        );
        f.key.subject = subject.map(|state| if group.len() > 1 { state.to_owned() } else { m.label() });
        if group.len() > 1 {
            let reason =
                |m: &&crate::model::MemberView| m.detail.as_ref().map(|d| format!("{}: {d}", m.label()));
            f.evidence.extend(group.iter().filter_map(reason));
        }
        found.push(f);
    }
}

/// An endpoint that was typed and leads to no member.
pub(super) fn stray_endpoints(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for m in view.members.iter().filter(|m| view.is_stray(m) && m.state != MemberState::Connecting) {
        let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
        found.push(Finding::new(
            "stray_endpoint",
            None,
            Severity::Warning,
            format!("{} leads to no member, {}{detail}", m.label(), m.state.shown()),
            "correct --endpoints",
            "The member list is known, and every member in it is watched by another way; this endpoint adds nothing.",
        ).about(m.label()));
    }
}

/// An even number of voters survives no more failures than one fewer would, and is harder to keep together.
pub(super) fn even_voters(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let voters = view.voters();
    // Without a quorum nobody can be added or removed.
    if view.outage().is_none() && voters > 0 && voters.is_multiple_of(2) {
        let line = format!("{voters} voters survive no more failures than {} would", voters - 1);
        found.push(Finding::new(
            "even_voters",
            None,
            Severity::Note,
            line,
            "add or remove one voter",
            "etcd FAQ: an even cluster has a larger quorum for the same tolerance.",
        ));
    }
}

/// One voter: its failure is the cluster's.
pub(super) fn single_voter(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    if view.voters() == 1 {
        found.push(Finding::new(
            "single_voter",
            None,
            Severity::Note,
            "one voter: the cluster can lose none".into(),
            "three voters survive the loss of one",
            "etcd FAQ: the failure of the only voter is the failure of the cluster.",
        ));
    }
}

/// A learner that nobody promoted.
pub(super) fn learners(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for m in view.members.iter().filter(|m| m.role == Role::Learner) {
        let line = match m.lag {
            Some(lag) if lag > 0 => format!("{} is a learner, {lag} entries behind", m.label()),
            _ => format!("{} is a learner and has no vote", m.label()),
        };
        found.push(Finding::new(
            "learner",
            m.id,
            Severity::Note,
            line,
            "promote it when it is in sync",
            "A learner receives the log but neither votes nor serves linearizable reads.",
        ));
    }
}

/// Versions that differ, are known to lose data, or are out of support; a downgrade in progress.
pub(super) fn versions(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    let versions = view.versions();
    if versions.len() > 1 {
        let list: Vec<_> = versions.iter().map(ToString::to_string).collect();
        let line = format!("members run different versions: {}", list.join(", "));
        found.push(Finding::new("versions_differ", None, Severity::Warning, line, "finish the upgrade", "Mixed versions are meant for the time of a rolling upgrade only: the cluster works at the level of the oldest."));
    }
    for version in &versions {
        if inconsistent(version.raw()) {
            let line = format!("etcd {version} can lose consistency (3.5.0 to 3.5.5)");
            found.push(
                Finding::new(
                    "version_known_bad",
                    None,
                    Severity::Warning,
                    line,
                    "upgrade to 3.5.6 or later",
                    "etcd 3.5.0 to 3.5.5 can leave members with different data after a crash; 3.5.6 is the floor.",
                )
                .about(version.to_string()),
            );
        } else if version.raw().starts_with("3.4.") || version.raw().starts_with("3.3.") {
            let line = format!("etcd {version} is out of support");
            found.push(Finding::new(
                "version_unsupported",
                None,
                Severity::Note,
                line,
                "plan an upgrade",
                "Releases before 3.5 get no fixes any more.",
            ));
        }
    }
    for m in &view.members {
        if let Some(target) = m.status.as_ref().and_then(|s| s.downgrade_target.as_ref()) {
            let line = format!("{}: a downgrade to {target} is in progress", m.label());
            found.push(Finding::new(
                "downgrade",
                m.id,
                Severity::Warning,
                line,
                "finish or cancel it",
                "While a downgrade is enabled the storage version may be lowered.",
            ));
        }
    }
}

fn inconsistent(version: &str) -> bool {
    version
        .strip_prefix("3.5.")
        .and_then(|patch| patch.split(['-', '+']).next()?.parse::<u32>().ok())
        .is_some_and(|patch| patch <= 5)
}

/// Members that contradict each other.
pub(super) fn conflicts(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    for conflict in &view.conflicts {
        let (line, next) = match conflict {
            Conflict::OtherCluster { endpoint, cluster_id } => (
                format!("{endpoint} is of another cluster ({cluster_id}); left out"),
                "name endpoints of one cluster",
            ),
            Conflict::MemberListsDiffer { member } => (
                format!("{} has another member list", view.name_of(*member)),
                "compare member list on each member",
            ),
            Conflict::LeadersDiffer { term } => {
                (format!("members name different leaders in term {}", term.0), "wait for the election to end")
            }
        };
        let severity = if matches!(conflict, Conflict::LeadersDiffer { .. }) {
            Severity::Warning
        } else {
            Severity::Critical
        };
        let meaning =
            "Members of one cluster agree on the cluster id, on who is a member, and on one leader a term.";
        let (member, subject) = match conflict {
            Conflict::OtherCluster { endpoint, .. } => (None, endpoint.to_string()),
            Conflict::MemberListsDiffer { member } => (Some(*member), "member list".to_owned()),
            Conflict::LeadersDiffer { .. } => (None, "leader".to_owned()),
        };
        found.push(Finding::new("conflict", member, severity, line, next, meaning).about(subject));
    }
}

/// Four leaders or more in a quarter of an hour (mixin).
pub(super) fn leader_changes(_: &ClusterView, history: &History, found: &mut Vec<Finding>) {
    let changes = history.leader_changes();
    if changes >= 4 {
        let mut f = Finding::new(
            "leader_changes",
            None,
            Severity::Warning,
            format!("another leader {changes} times in the last 15 min"),
            "look at round trips, fsync and CPU of the leaders",
            "Each election stops writes for about a second. Leaders are lost when heartbeats come too late: slow disks, a bad network, starved processes. Threshold from the etcd mixin.",
        );
        f.evidence.push("as seen from here; warning from 4 in 15 min".into());
        found.push(f);
    }
}

/// Certificates that expire: below 30 days a warning, below 7 critical.
pub(super) fn certificates(view: &ClusterView, _: &History, found: &mut Vec<Finding>) {
    const DAY: u64 = 86_400;
    for m in &view.members {
        let Some(certificate) = &m.certificate else { continue };
        let left = Duration::try_from(certificate.not_after.duration_since(view.at)).unwrap_or_default();
        let severity = match left.as_secs() / DAY {
            0..7 => Severity::Critical,
            7..30 => Severity::Warning,
            _ => continue,
        };
        let line = if certificate.not_after <= view.at {
            format!(
                "{}: its certificate expired on {}",
                m.label(),
                certificate.not_after.strftime("%Y-%m-%d")
            )
        } else {
            format!("{}: its certificate expires in {}", m.label(), crate::model::units::age(left))
        };
        found.push(Finding::new(
            "certificate_expires",
            m.id,
            severity,
            line,
            "renew it",
            "When a server certificate expires, clients and peers stop talking to the member.",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inconsistent_releases_are_exactly_3_5_0_to_3_5_5() {
        for (version, bad) in [
            ("3.5.0", true),
            ("3.5.5", true),
            ("3.5.6", false),
            ("3.5.16", false),
            ("3.5.3-rc.1", true),
            ("3.4.5", false),
            ("junk", false),
        ] {
            assert_eq!(inconsistent(version), bad, "{version}");
        }
    }
}
