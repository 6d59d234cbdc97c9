//! What can be done to a lab besides the dashboard's keys: what one does on a host, to a network, or with etcdctl. And what
//! brings a symptom about.

use std::time::Duration;

use crate::model::coach::Choice;
use crate::model::{Bytes, ClusterView, MemberId};

/// A part in a scenario. Who plays it is drawn anew for each run, so that nobody learns names by heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Leads when the scenario begins.
    A,
    /// Follows.
    B,
    /// Follows, too.
    C,
    /// The member that is added.
    New,
}

/// Who plays which part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    parts: Vec<usize>,
}

impl Cast {
    /// Draws the parts of so many members; the same for the same `seed`.
    #[must_use]
    pub fn draw(members: usize, seed: u64) -> Self {
        let mut parts: Vec<usize> = (0..members).collect();
        let turns = usize::try_from(seed % members.max(1) as u64).unwrap_or_default();
        parts.rotate_left(turns);
        if members > 2 && (seed / members as u64) % 2 == 1 {
            parts.swap(1, 2);
        }
        Self { parts }
    }

    /// The index of the member that plays a part, from 0.
    #[must_use]
    pub fn index(&self, who: Who) -> usize {
        let at = match who {
            Who::A => 0,
            Who::B => 1,
            Who::C => 2,
            Who::New => return self.parts.len(),
        };
        self.parts.get(at).copied().unwrap_or(at)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, who: Who) -> String {
        format!("m{}", self.index(who) + 1)
    }

    /// Its id, as the view knows it.
    #[must_use]
    pub fn id(&self, who: Who, view: &ClusterView) -> Option<MemberId> {
        let name = self.name(who);
        view.members.iter().find(|m| m.listed && m.name.raw() == name)?.id
    }

    /// A text with the names in the places of `{A}`, `{B}`, `{C}` and `{New}`.
    #[must_use]
    pub fn tell(&self, text: &str) -> String {
        [("{A}", Who::A), ("{B}", Who::B), ("{C}", Who::C), ("{New}", Who::New)]
            .into_iter()
            .fold(text.to_owned(), |text, (mark, who)| text.replace(mark, &self.name(who)))
    }
}

/// Something that a learner can do besides the dashboard's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Put a key.
    Put,
    /// Delete what nobody needs.
    DeleteJunk,
    /// Take alarms back with etcdctl, which asks no questions.
    DisarmByHand,
    /// Give every member a quota of 64 MiB, one after the other.
    RaiseQuota,
    /// Start a member that does not run.
    Start(Who),
    /// End a member in order.
    End(Who),
    /// End a member, by force where it does not listen, and start it again.
    Restart(Who),
    /// Mend the network of a member.
    Mend(Who),
    /// Take a member out of the list.
    Remove(Who),
    /// Add a voter that is not started yet.
    AddVoter,
    /// Add a learner that is not started yet.
    AddLearner,
    /// Start the member that was added.
    StartNew,
    /// Make the learner a voter.
    Promote,
    /// Let the sleeping consumer go on.
    WakeConsumer,
    /// Every member ends, and every disk is lost.
    LoseEverything,
    /// Restore every member from the newest snapshot in the lab's folder, and start it.
    Restore,
    /// Start every member with an empty disk.
    StartEmpty,
    /// Give a member a certificate that is valid.
    Renew(Who),
}

/// What brings a symptom about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This member leads.
    Lead(Who),
    /// A member is killed (SIGKILL).
    Crash(Who),
    /// A member is frozen (SIGSTOP).
    Freeze(Who),
    /// The disk of a member that was killed is lost.
    Wipe(Who),
    /// Nothing passes between a member and its peers.
    Isolate(Who),
    /// Everything to and from a member takes so much longer.
    Slow(Who, Duration),
    /// The certificate of a member has expired; it is started anew with it.
    Expire(Who),
    /// The same keys are written over and over until the alarm is raised.
    FillWithHistory,
    /// New keys, each of which somebody needs or not, are written until the alarm is raised.
    FillWithKeys,
    /// A service goes on writing the same keys.
    Write {
        /// How large a value is.
        size: Bytes,
        /// Puts a second.
        per_second: u32,
    },
    /// Keys are written and deleted, and their history is compacted: what they took is free inside the files.
    Fragment {
        /// What stays.
        live: Bytes,
        /// What goes.
        free: Bytes,
    },
    /// A hundred small puts.
    Seed,
    /// The consumer falls asleep, and hundreds of revisions are written that it does not see.
    ConsumerSleeps,
    /// A member raises CORRUPT, as etcd does when it finds damage: a drill.
    RaiseCorrupt(Who),
    /// An alarm is taken back as a hasty colleague does it.
    Disarm,
}

impl Act {
    /// How it is offered.
    #[must_use]
    pub fn choice(self, cast: &Cast) -> Choice {
        let on = |who: Who, command: &str| format!("{command}   (on {})", cast.name(who));
        let ctl = |rest: &str| format!("etcdctl {rest}");
        let (title, command) = match self {
            Self::Put => ("put a key".into(), ctl("put lab/hello world")),
            Self::DeleteJunk => {
                ("delete the old reports, which nobody needs".into(), ctl("del --prefix lab/reports/"))
            }
            Self::DisarmByHand => ("take the alarm back by hand".into(), ctl("alarm disarm")),
            Self::RaiseQuota => (
                "raise the quota to 64 MiB, a member at a time".into(),
                "--quota-backend-bytes=67108864; systemctl restart etcd   (on each)".into(),
            ),
            Self::Start(who) => (format!("start {}", cast.name(who)), on(who, "systemctl start etcd")),
            Self::End(who) => (format!("end {}", cast.name(who)), on(who, "systemctl stop etcd")),
            Self::Restart(who) => (format!("restart {}", cast.name(who)), on(who, "systemctl restart etcd")),
            Self::Mend(who) => {
                (format!("mend the network of {}", cast.name(who)), on(who, "replace the cable"))
            }
            Self::Remove(who) => (
                format!("remove {} from the cluster", cast.name(who)),
                ctl(&format!("member remove <id of {}>", cast.name(who))),
            ),
            Self::AddVoter => (
                format!("add {} as a voter", cast.name(Who::New)),
                ctl(&format!("member add {} --peer-urls=...", cast.name(Who::New))),
            ),
            Self::AddLearner => (
                format!("add {} as a learner", cast.name(Who::New)),
                ctl(&format!("member add {} --learner --peer-urls=...", cast.name(Who::New))),
            ),
            Self::StartNew => (
                format!("start {} for the first time", cast.name(Who::New)),
                on(Who::New, "etcd --initial-cluster-state=existing"),
            ),
            Self::Promote => (
                format!("promote {}", cast.name(Who::New)),
                ctl(&format!("member promote <id of {}>", cast.name(Who::New))),
            ),
            Self::WakeConsumer => {
                ("let the consumer go on".into(), "systemctl start consumer   (on its host)".into())
            }
            Self::LoseEverything => (
                "the disaster: every member ends, every disk is lost".into(),
                "rm -rf /var/lib/etcd   (on each)".into(),
            ),
            Self::Restore => (
                "restore every member from the newest snapshot, and start it".into(),
                "etcdutl snapshot restore FILE --name ... --initial-cluster ...   (on each)".into(),
            ),
            Self::StartEmpty => {
                ("start every member with an empty disk".into(), "systemctl start etcd   (on each)".into())
            }
            Self::Renew(who) => (
                format!("renew the certificate of {}", cast.name(who)),
                on(who, "kubeadm certs renew etcd-server"),
            ),
        };
        Choice { title, command }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_plays_one_part_and_each_gets_every_part_in_turn() {
        let mut leads = std::collections::BTreeSet::new();
        for seed in 0..12 {
            let cast = Cast::draw(3, seed);
            let mut all: Vec<_> = [Who::A, Who::B, Who::C].map(|w| cast.index(w)).into();
            leads.insert(cast.index(Who::A));
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2], "{seed}");
            assert_eq!(cast.name(Who::New), "m4");
        }
        assert_eq!(leads.len(), 3);
        assert_eq!(Cast::draw(2, 1).tell("{A} {B} {New}"), "m2 m1 m3");
    }
}
