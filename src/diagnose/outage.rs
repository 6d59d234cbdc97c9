//! Nobody answers, nobody leads, somebody does not serve: at once.

use std::time::Duration;

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::member::SLOW_AFTER;
use crate::model::units::{age, latency};
use crate::model::{Conflict, MemberState, MemberView, Outage, Role, Severity};

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
        when: "a member is hung, refused, unreachable, without a leader, or not let in by TLS or auth: critical; never started: warning; at once",
        source: "etcdMembersDown of the mixin (a warning there, after 20 min)",
        from: "TCP, TLS, Status",
        meaning: "A member that does not serve counts against the quorum: the cluster survives only as long as a majority of voters does.",
        settles: AtOnce,
        find: not_serving,
    },
    Rule {
        name: "member_slow",
        when: "two Status calls or more of the last 30 s took longer than 500 ms: warning",
        source: "about half of etcd's default election timeout",
        from: "how long Status takes, which a member answers by itself",
        meaning: "Status needs neither the disk nor other members: a member that is late with it is starved of CPU or memory, stopped and continued, or far away. It still serves; a leader that is late delays every write, and loses its leadership beyond the election timeout.",
        settles: super::Settles::Slowly,
        find: slow,
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
        let all = |state| case.view.members.iter().all(|m| m.state == state);
        let next = if all(MemberState::Refused) {
            "nothing listens there: start etcd, or correct --endpoints"
        } else if all(MemberState::Hung) {
            "look at the processes: stopped? disk stuck?"
        } else if case.view.members.len() == 1 && case.view.listed() == 0 {
            "check network, firewall, certificates; name another endpoint"
        } else {
            "check from here: network, firewall, certificates, endpoints"
        };
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
            // Slow ones serve: a rule of their own looks at more than a moment.
            MemberState::Ok | MemberState::Connecting | MemberState::Defragmenting | MemberState::Slow => {
                continue;
            }
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
        // Some members: each its own, so that none of them comes and goes with the others. Many: one line for all.
        if group.len() <= 3 {
            for m in group {
                let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
                let line = format!("{} {}{detail}", m.label(), m.state.shown());
                let f = found.add(severity, m.id, line, next);
                f.key.subject = m.id.is_none().then(|| m.label());
                f.evidence.extend(seen_last(case, m));
            }
            continue;
        }
        let names: Vec<_> = group.iter().map(|m| m.label()).collect();
        let line = format!("{} {}", names.join(", "), m.state.shown());
        let f = found.add(severity, None, line, next);
        f.key.subject = Some(m.state.shown().to_owned());
        let reason = |m: &&MemberView| m.detail.as_ref().map(|d| format!("{}: {d}", m.label()));
        f.evidence.extend(group.iter().filter_map(reason));
    }
}

/// Where it was asked, and when it answered last.
fn seen_last(case: &Case<'_>, m: &MemberView) -> Vec<String> {
    let mut seen: Vec<String> = m.endpoint.iter().map(|e| format!("asked at {e}")).collect();
    seen.push(m.figures_age(case.view.at).map_or_else(
        || "it never answered since etcdtop looks".to_owned(),
        |old| format!("it answered last {} ago", age(old)),
    ));
    seen
}

fn slow(case: &Case<'_>, found: &mut Found<'_>) {
    const SPAN: Duration = Duration::from_secs(30);
    for m in case.view.members.iter().filter(|m| m.state.serves()) {
        let Some(ring) = m.id.and_then(|id| case.history.ring(id)) else { continue };
        let ago = |at: jiff::Timestamp| case.view.at.duration_since(at).unsigned_abs();
        let recent: Vec<_> =
            ring.fine().iter().rev().take_while(|s| ago(s.at) <= SPAN).filter_map(|s| s.latency).collect();
        let late: Vec<_> = recent.iter().filter(|l| **l > SLOW_AFTER).collect();
        let Some(worst) = late.iter().max().filter(|_| late.len() > 1) else { continue };
        let leads = if m.role == Role::Leader { ", the leader," } else { "" };
        let line = format!("{}{leads} is slow: Status took up to {}", m.label(), latency(**worst));
        let f = found.add(Severity::Warning, m.id, line, "look at its CPU and memory, then at its disk");
        f.evidence.push(format!(
            "{} of {} Status calls in 30 s took longer than 500 ms",
            late.len(),
            recent.len()
        ));
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
