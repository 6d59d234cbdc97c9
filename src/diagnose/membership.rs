//! Who votes, who only listens, and whose certificate ends.

use std::time::Duration;

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::units::age;
use crate::model::{Role, Severity};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "certificate_expires",
        when: "a member's certificate expires in less than 30 days: warning; 7 days: critical",
        source: "",
        from: "the certificate in the TLS handshake",
        meaning: "When a server certificate expires, clients and peers stop talking to the member. etcd reads its files anew for each connection: renewing them needs no restart.",
        settles: AtOnce,
        find: certificates,
    },
    Rule {
        name: "even_voters",
        when: "the number of voters is even: note",
        source: "etcd FAQ",
        from: "MemberList",
        meaning: "An even cluster has a larger quorum for the same tolerance: four voters survive one failure as three do, and there is one more that can fail.",
        settles: AtOnce,
        find: even_voters,
    },
    Rule {
        name: "single_voter",
        when: "there is one voter: note",
        source: "etcd FAQ",
        from: "MemberList",
        meaning: "The failure of the only voter is the failure of the cluster.",
        settles: AtOnce,
        find: single_voter,
    },
    Rule {
        name: "learner",
        when: "a member is a learner: note",
        source: "etcd's design of learners",
        from: "MemberList, Status.isLearner",
        meaning: "A learner receives the log but neither votes nor serves linearizable reads. It is meant to be promoted as soon as it has caught up (etcd refuses to promote it below 90% of the leader's index).",
        settles: AtOnce,
        find: learners,
    },
];

const DAY: u64 = 86_400;

fn certificates(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let Some(certificate) = &m.certificate else { continue };
        let left = Duration::try_from(certificate.not_after.duration_since(case.view.at)).unwrap_or_default();
        let severity = match left.as_secs() / DAY {
            0..7 => Severity::Critical,
            7..30 => Severity::Warning,
            _ => continue,
        };
        let until = certificate.not_after.strftime("%Y-%m-%d");
        let line = if certificate.not_after <= case.view.at {
            format!("{}: its certificate expired on {until}", m.label())
        } else {
            format!("{}: its certificate expires in {}", m.label(), age(left))
        };
        let f = found.add(severity, m.id, line, "renew it");
        f.evidence.push(format!("{}: valid until {}", certificate.subject, certificate.not_after));
        f.evidence
            .push("as of when etcdtop connected: a renewed one is seen with the next connection".into());
        f.evidence.push("warning below 30 days, critical below 7".into());
    }
}

fn even_voters(case: &Case<'_>, found: &mut Found<'_>) {
    let voters = case.view.voters();
    // Without a quorum nobody can be added or removed.
    if case.view.outage().is_none() && voters > 0 && voters.is_multiple_of(2) {
        let line = format!("{voters} voters survive no more failures than {} would", voters - 1);
        found.add(Severity::Note, None, line, "add or remove one voter");
    }
}

fn single_voter(case: &Case<'_>, found: &mut Found<'_>) {
    if case.view.voters() == 1 {
        let line = "one voter: the cluster can lose none".into();
        found.add(Severity::Note, None, line, "three voters survive the loss of one");
    }
}

fn learners(case: &Case<'_>, found: &mut Found<'_>) {
    for m in case.view.members.iter().filter(|m| m.role == Role::Learner) {
        let line = match m.lag {
            Some(lag) if lag > 0 => format!("{} is a learner, {lag} entries behind", m.label()),
            _ => format!("{} is a learner and has no vote", m.label()),
        };
        found.add(Severity::Note, m.id, line, "promote it when it is in sync");
    }
}
