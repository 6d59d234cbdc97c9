//! What a scenario is: a cluster, a symptom, steps whose goals are checked by what is observed, and, for the tests, an
//! answer that is right and one that is wrong. A new scenario is one file in `scenarios/` and one line in [`TABLE`].

use std::time::Duration;

use super::act::{Act, Cast, Cause, Who};
use super::scenarios;
use super::seen::Seen;
use crate::model::Bytes;

/// What a goal says: reached, or what is still missing.
pub type Goal = Result<(), String>;

/// What lies between the members, and between them and their clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    Direct,
    /// Members reach each other through proxies.
    Peers,
    /// So do clients.
    Everybody,
}

/// The cluster that a scenario runs on.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Members when it begins.
    pub members: usize,
    /// `--quota-backend-bytes`.
    pub quota: Option<Bytes>,
    /// Clients reach members over TLS, with certificates of the lab's own.
    pub tls: bool,
    /// What lies between the members.
    pub network: Network,
    /// Clients write through every member, a few times a second, and tell how that goes.
    pub pulse: bool,
    /// A client watches.
    pub consumer: bool,
}

/// Three members, and clients that write: what most scenarios run on.
pub const COMMON: Setting =
    Setting { members: 3, quota: None, tls: false, network: Network::Direct, pulse: true, consumer: false };

/// One step of a scenario. In every text `{A}`, `{B}`, `{C}` and `{New}` stand for names of members.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is to be reached.
    pub task: &'static str,
    /// Where to look.
    pub look: &'static str,
    /// From a nudge to the whole answer.
    pub hints: &'static [&'static str],
    /// Whether it is reached.
    pub goal: fn(&Seen<'_>) -> Goal,
}

/// What can be chosen besides the dashboard's keys.
#[derive(Clone, Copy, Debug)]
pub enum Offer {
    /// This.
    One(Act),
    /// This, for each member that the scenario began with.
    Each(fn(Who) -> Act),
}

/// A move of a scripted answer: a key of the dashboard with its plan confirmed, or an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// `c`: keep so many revisions.
    Compact(u64),
    /// `d` on a member.
    Defragment(Who),
    /// `D`, the leader moved away before its turn or not.
    Roll {
        /// Whether leadership is moved first.
        move_leader: bool,
    },
    /// `s`.
    Snapshot,
    /// `a`.
    Disarm,
    /// `L` on a member.
    MoveLeader(Who),
    /// `R`.
    Recover,
    /// `H`.
    CompareData,
    /// `A`, and a choice.
    Act(Act),
    /// Wait until the goal of this step is reached.
    Reach,
}

/// An answer that does not solve a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Wrong {
    /// What is done.
    pub moves: &'static [Move],
    /// Its last move is refused, by etcd or because nothing answers.
    pub refused: bool,
    /// Part of what the coach says then: what is missing, a mistake, or why it is lost.
    pub told: &'static str,
}

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What one learns, for the list.
    pub teaches: &'static str,
    /// What somebody reports.
    pub symptom: &'static str,
    /// Something is wrong when it begins: it can be the mystery.
    pub incident: bool,
    /// The cluster.
    pub setting: Setting,
    /// What brings the symptom about.
    pub causes: &'static [Cause],
    /// Whether it shows.
    pub shows: fn(&Seen<'_>) -> Goal,
    /// What is to be reached, one after the other.
    pub steps: &'static [Step],
    /// What can be done besides the dashboard's keys.
    pub offers: &'static [Offer],
    /// What went wrong by what was done, a line each; each costs points once.
    pub mistakes: fn(&Seen<'_>) -> Vec<String>,
    /// Why it cannot be solved any more, if so.
    pub lost: fn(&Seen<'_>) -> Option<String>,
    /// What etcd did inside, a paragraph each.
    pub debrief: &'static [&'static str],
    /// How long somebody who knows the answer takes.
    pub par: Duration,
    /// An answer that solves it.
    pub right: &'static [Move],
    /// One that does not.
    pub wrong: Wrong,
}

/// For a scenario in which nothing can be lost for good.
#[must_use]
pub fn never_lost(_: &Seen<'_>) -> Option<String> {
    None
}

/// For a scenario in which nothing counts as a mistake besides what every scenario counts.
#[must_use]
pub fn no_mistakes(_: &Seen<'_>) -> Vec<String> {
    Vec::new()
}

/// Every scenario, in the order in which one learns best.
pub static TABLE: &[&Scenario] = &[
    &scenarios::tour::SCENARIO,
    &scenarios::nospace::SCENARIO,
    &scenarios::nospace_returns::SCENARIO,
    &scenarios::nospace_full::SCENARIO,
    &scenarios::fragmentation::SCENARIO,
    &scenarios::defrag_leader::SCENARIO,
    &scenarios::leader_crash::SCENARIO,
    &scenarios::leader_hung::SCENARIO,
    &scenarios::quorum_lost::SCENARIO,
    &scenarios::slow_member::SCENARIO,
    &scenarios::partition::SCENARIO,
    &scenarios::learner::SCENARIO,
    &scenarios::replace::SCENARIO,
    &scenarios::watcher::SCENARIO,
    &scenarios::corrupt::SCENARIO,
    &scenarios::restore::SCENARIO,
    &scenarios::certificate::SCENARIO,
];

/// The name of one that is not told.
pub const MYSTERY: &str = "mystery";

/// The scenario with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    TABLE.iter().find(|s| s.name == name).copied()
}

/// One of those that can be a mystery; the same for the same `seed`.
#[must_use]
pub fn mystery(seed: u64) -> &'static Scenario {
    let possible: Vec<_> = TABLE.iter().filter(|s| s.incident).collect();
    // There are such, a test says so.
    possible[usize::try_from(seed % possible.len() as u64).unwrap_or_default()]
}

impl Scenario {
    /// Everything that can be done besides the dashboard's keys, by the members' names: their order does not tell who
    /// plays which part.
    #[must_use]
    pub fn acts(&self, cast: &Cast) -> Vec<Act> {
        let mut members: Vec<Who> = [Who::A, Who::B, Who::C].into_iter().take(self.setting.members).collect();
        members.sort_by_key(|who| cast.index(*who));
        let each = |offer: &Offer| match *offer {
            Offer::One(act) => vec![act],
            Offer::Each(act) => members.iter().map(|who| act(*who)).collect(),
        };
        self.offers.iter().flat_map(each).collect()
    }

    /// The same scenario with whatever can be done in any of them.
    #[must_use]
    pub(super) fn as_mystery(&self) -> Self {
        Self { offers: ALL_OFFERS, ..*self }
    }
}

/// What can be done in a mystery: whatever can be done in any of them.
const ALL_OFFERS: &[Offer] = &[
    Offer::Each(Act::Start),
    Offer::Each(Act::Restart),
    Offer::Each(Act::End),
    Offer::Each(Act::Mend),
    Offer::Each(Act::Renew),
    Offer::One(Act::DeleteJunk),
    Offer::One(Act::DisarmByHand),
    Offer::One(Act::RaiseQuota),
    Offer::Each(Act::Remove),
    Offer::One(Act::AddLearner),
    Offer::One(Act::AddVoter),
    Offer::One(Act::StartNew),
    Offer::One(Act::Promote),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_whole() {
        assert!(TABLE.iter().filter(|s| s.incident).count() > 5);
        for s in TABLE {
            assert!(!s.steps.is_empty() && !s.debrief.is_empty() && !s.right.is_empty(), "{}", s.name);
            assert!(s.steps.iter().all(|step| step.hints.len() >= 2), "{}", s.name);
            assert!(!s.wrong.moves.is_empty() && !s.wrong.told.is_empty(), "{}", s.name);
            assert_ne!(s.right, s.wrong.moves, "{}", s.name);
            assert_eq!(TABLE.iter().filter(|other| other.name == s.name).count(), 1, "{}", s.name);
            // What the answers choose can be chosen.
            let cast = Cast::draw(s.setting.members, 0);
            let offered = s.acts(&cast);
            for chosen in s.right.iter().chain(s.wrong.moves) {
                if let Move::Act(act) = chosen {
                    assert!(offered.contains(act), "{}: {act:?}", s.name);
                }
            }
            // A mystery offers what its answers need.
            if s.incident {
                let all = s.as_mystery().acts(&cast);
                let needed =
                    s.right.iter().filter_map(|m| if let Move::Act(act) = m { Some(act) } else { None });
                for act in needed {
                    assert!(all.contains(act), "{}: {act:?}", s.name);
                }
            }
        }
    }
}
