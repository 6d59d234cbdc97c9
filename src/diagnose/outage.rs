//! Nobody answers, nobody leads, somebody does not serve: at once.

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::{Conflict, MemberState, MemberView, Outage, Severity};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unreachable",
        when: "no member gives an answer: critical, at once",
        source: "",
        from: "every call",
        meaning: "Nothing is known of the cluster but that it cannot be reached from this host; it may well serve others.",
        settles: AtOnce,
        find: unreachable,
    },
    Rule {
        name: "quorum_lost",
        when: "no voter that answers has a leader, and too few of the others can be well: critical, at once",
        source: "etcdInsufficientMembers of the mixin, without its 3 min",
        from: "Status of each member",
        meaning: "Without a majority of voters nothing can be committed: no writes, no linearizable reads. Serializable reads and snapshots of a member that answers still work. If the voters are gone for good, the way back is a restore.",
        settles: AtOnce,
        find: quorum_lost,
    },
    Rule {
        name: "no_leader",
        when: "no voter that answers has a leader: critical, at once",
        source: "etcdNoLeader of the mixin, without its minute",
        from: "Status.leader",
        meaning: "An election takes about a second. One that does not end means that voters do not reach each other on their peer urls, or that their disks are too slow for the election timeout.",
        settles: AtOnce,
        find: no_leader,
    },
    Rule {
        name: "member_not_serving",
        when: "a member is hung, refused, unreachable, without a leader, or not let in by TLS or auth: critical; slow or never started: warning; at once",
        source: "etcdMembersDown of the mixin, without its 10 min",
        from: "TCP, TLS, Status",
        meaning: "A member that does not serve counts against the quorum: the cluster survives only as long as a majority of voters does.",
        settles: AtOnce,
        find: not_serving,
    },
    Rule {
        name: "other_cluster",
        when: "an endpoint answers for another cluster: critical, at once",
        source: "",
        from: "header.cluster_id",
        meaning: "What was typed leads to two clusters. The other one is left out of everything: clusters are never mixed.",
        settles: AtOnce,
        find: other_cluster,
    },
    Rule {
        name: "member_lists_differ",
        when: "a member has another member list than the most up-to-date one for more than 12 s: critical",
        source: "Rancher's runbook",
        from: "MemberList of each member",
        meaning: "Members of one cluster agree on who is a member. One that does not was removed, was restored alone, or is cut off from the log.",
        settles: AtOnce,
        find: member_lists_differ,
    },
    Rule {
        name: "leaders_differ",
        when: "members of one term name different leaders for more than 3 s: warning",
        source: "",
        from: "Status.leader, Status.raftTerm",
        meaning: "There is one leader a term. For as long as an election takes members may tell of two; longer means that one of them is cut off.",
        settles: AtOnce,
        find: leaders_differ,
    },
    Rule {
        name: "stray_endpoint",
        when: "an endpoint that was typed leads to no member: warning",
        source: "",
        from: "MemberList",
        meaning: "The member list is known, and every member in it is watched by another way; this endpoint adds nothing.",
        settles: AtOnce,
        find: stray_endpoints,
    },
];

fn unreachable(case: &Case<'_>, found: &mut Found<'_>) {
    if let Some(outage @ Outage::Unreachable) = case.view.outage() {
        let next = "check from here: network, firewall, certificates, endpoints";
        found.add(Severity::Critical, None, format!("unreachable: {outage}"), next);
    }
}

fn quorum_lost(case: &Case<'_>, found: &mut Found<'_>) {
    if let Some(outage @ Outage::QuorumLost { .. }) = case.view.outage() {
        let next = "take a snapshot now: it needs no quorum; then bring voters back";
        let f = found.add(Severity::Critical, None, format!("quorum lost: {outage}"), next);
        // The one thing that needs no quorum.
        f.action = Some("snapshot");
    }
}

fn no_leader(case: &Case<'_>, found: &mut Found<'_>) {
    if let Some(outage @ Outage::NoLeader { .. }) = case.view.outage() {
        let next = "wait some seconds; then look at the peers' network and disks";
        found.add(Severity::Critical, None, format!("no leader: {outage}"), next);
    }
}

/// When nobody has a leader that is a finding of the cluster's, not of each member's.
fn not_serving(case: &Case<'_>, found: &mut Found<'_>) {
    let outage = case.view.outage();
    for group in case.view.ailing() {
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
        let f = found.add(severity, m.id.filter(|_| group.len() == 1), line, next);
        f.key.subject = subject.map(|state| if group.len() > 1 { state.to_owned() } else { m.label() });
        if group.len() > 1 {
            let reason = |m: &&MemberView| m.detail.as_ref().map(|d| format!("{}: {d}", m.label()));
            f.evidence.extend(group.iter().filter_map(reason));
        }
    }
}

fn other_cluster(case: &Case<'_>, found: &mut Found<'_>) {
    for conflict in &case.view.conflicts {
        if let Conflict::OtherCluster { endpoint, cluster_id } = conflict {
            let line = format!("{endpoint} is of another cluster ({cluster_id}); left out");
            let f = found.add(Severity::Critical, None, line, "name endpoints of one cluster");
            f.key.subject = Some(endpoint.to_string());
        }
    }
}

fn member_lists_differ(case: &Case<'_>, found: &mut Found<'_>) {
    for conflict in &case.view.conflicts {
        if let Conflict::MemberListsDiffer { member } = conflict {
            let line = format!("{} has another member list", case.view.name_of(*member));
            found.add(Severity::Critical, Some(*member), line, "compare member list on each member");
        }
    }
}

fn leaders_differ(case: &Case<'_>, found: &mut Found<'_>) {
    for conflict in &case.view.conflicts {
        if let Conflict::LeadersDiffer { term } = conflict {
            let line = format!("members name different leaders in term {}", term.0);
            found.add(Severity::Warning, None, line, "wait for the election to end");
        }
    }
}

fn stray_endpoints(case: &Case<'_>, found: &mut Found<'_>) {
    let view = case.view;
    for m in view.members.iter().filter(|m| view.is_stray(m) && m.state != MemberState::Connecting) {
        let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
        let line = format!("{} leads to no member, {}{detail}", m.label(), m.state.shown());
        found.add(Severity::Warning, None, line, "correct --endpoints").key.subject = Some(m.label());
    }
}
