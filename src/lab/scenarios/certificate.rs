//! The certificate of a member has expired.

use std::time::Duration;

use super::STEADY;
use crate::lab::act::{Act, Cause, Who};
use crate::lab::scenario::{COMMON, Goal, Move, Offer, Scenario, Setting, Step, Wrong};
use crate::lab::seen::Seen;
use crate::model::MemberState;

fn expired(seen: &Seen<'_>) -> Goal {
    match seen.state(Who::B) {
        Some(MemberState::Tls) => Ok(()),
        _ => Err("{B} is still reached".into()),
    }
}

fn renewed(seen: &Seen<'_>) -> Goal {
    seen.whole_for(STEADY)?;
    seen.writes_for(STEADY)
}

fn mistakes(seen: &Seen<'_>) -> Vec<String> {
    let restarted = seen.did(|act| matches!(act, Act::Restart(_)));
    restarted
        .then(|| "a member was restarted: it reads the same certificate again".to_owned())
        .into_iter()
        .collect()
}

fn hasty(seen: &Seen<'_>) -> Option<String> {
    seen.gone(Who::B).then(|| "{B} was removed, although nothing was wrong with it but a date".into())
}

pub(crate) static SCENARIO: Scenario = Scenario {
    name: "certificate",
    title: "A date that passed",
    teaches: "what an expired certificate looks like, and that etcd needs no restart for a new one",
    symptom: "Since its host was rebooted one member cannot be reached; the others say that all is well.",
    incident: true,
    setting: Setting { tls: true, ..COMMON },
    causes: &[Cause::Lead(Who::A), Cause::Expire(Who::B)],
    shows: expired,
    steps: &[Step {
        task: "Find out why {B} cannot be reached, and mend it.",
        look: "1 Overview: the reason beside its state; 2 Member",
        hints: &[
            "The handshake fails, and says why.",
            "A restart reads the same file again.",
            "A: renew the certificate of {B}.",
        ],
        goal: renewed,
    }],
    offers: &[Offer::Each(Act::Renew), Offer::Each(Act::Restart), Offer::Each(Act::Remove)],
    mistakes,
    lost: hasty,
    debrief: &[
        "A certificate is looked at in the handshake and never again: connections that were open when it expired stay open. So it is found out about when somebody connects anew, after a restart or a reboot, often months later.",
        "Peers of this lab speak without TLS, so that the member went on following. With TLS between peers it would not have been able to come back at all.",
        "etcd reads its certificate from the disk at every handshake: a new file is enough, no restart is needed. Not so the authority's certificate, which is read once at the start.",
    ],
    par: Duration::from_secs(45),
    right: &[Move::Act(Act::Renew(Who::B))],
    wrong: Wrong {
        moves: &[Move::Act(Act::Restart(Who::B))],
        refused: false,
        told: "reads the same certificate again",
    },
};
