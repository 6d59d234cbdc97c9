//! All members at one moment, merged from what each of them said.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::ids::{Bytes, ClusterId, MemberId, RaftIndex, Revision, Term};
use super::member::{MemberState, MemberView, Role};
use super::status::{Alarm, AlarmKind};
use super::text::ForeignText;

/// What the members say that cannot all be true of one healthy cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// An endpoint belongs to another cluster. It is left out of everything else: clusters are never mixed.
    OtherCluster {
        /// Where it answered.
        endpoint: Endpoint,
        /// The cluster it belongs to.
        cluster_id: ClusterId,
    },
    /// Members do not agree on who is a member.
    MemberListsDiffer {
        /// The member whose list differs from that of the most up-to-date member.
        member: MemberId,
    },
    /// Members of one term name different leaders.
    LeadersDiffer {
        /// The term.
        term: Term,
    },
}

/// The cluster as seen from here at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// When it was put together.
    pub at: Timestamp,
    /// None until a member answered.
    pub cluster_id: Option<ClusterId>,
    /// Sorted by name, then by id, then by endpoint: a row never jumps because a state changed.
    #[serde(default)]
    pub members: Vec<MemberView>,
    /// The leader that most voters with the highest term name, unless it says itself that it leads no more.
    pub leader: Option<MemberId>,
    /// The highest term reported by a voter that has a leader; without one, by any member that answers.
    pub term: Option<Term>,
    /// The highest revision reported by a member that answers (the last known one when none does).
    pub revision: Option<Revision>,
    /// The compaction floor; from `/metrics`, so it may be unknown.
    pub compact_revision: Option<Revision>,
    /// All alarms that are raised, each once.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// Contradictions.
    #[serde(default)]
    pub conflicts: Vec<Conflict>,
    /// Why no member list is known, when a member that answers refused it.
    pub list_refused: Option<ForeignText>,
}

/// Why nothing can be committed, as far as it can be told from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No member answers: from here nothing can be said of the cluster but that.
    Unreachable,
    /// Fewer voters answer than a quorum needs, and none of them has a leader.
    QuorumLost {
        /// Voters that answer.
        answering: usize,
        /// Voters in the member list.
        voters: usize,
        /// Votes needed to commit.
        quorum: usize,
    },
    /// A quorum of voters answers, and none of them has a leader.
    NoLeader {
        /// Voters that answer.
        answering: usize,
        /// Voters in the member list; 0 if nobody told it.
        voters: usize,
    },
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = |n: usize| if n == 1 { "answers" } else { "answer" };
        match *self {
            Self::Unreachable => f.write_str("no member gives an answer to this host"),
            Self::QuorumLost { answering, voters, quorum } => {
                write!(f, "{answering} of {voters} voters {}, {quorum} are needed", answer(answering))
            }
            Self::NoLeader { voters: 0, .. } => f.write_str("no member that answers has a leader"),
            Self::NoLeader { answering, voters } => {
                write!(f, "{answering} of {voters} voters {}, none has a leader", answer(answering))
            }
        }
    }
}

impl ClusterView {
    /// Why nothing can be committed; none while a voter has a leader.
    ///
    /// The quorum is called lost only when no voter that answers has a leader, and too few of the others can be well: a
    /// member that was never reached from here may well be reachable by the others.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        let connecting = self.members.iter().any(|m| m.state == MemberState::Connecting);
        if !self.members.iter().any(|m| m.state.answers()) {
            return (!connecting && !self.members.is_empty()).then_some(Outage::Unreachable);
        }
        // A learner goes on believing in a leader that is long gone: it takes part in no election.
        let elects = |m: &&MemberView| m.is_voter() || self.listed() == 0;
        if self.members.iter().filter(elects).any(|m| m.state.serves()) {
            return None;
        }
        let (answering, voters) = (self.answering_voters(), self.voters());
        let possible = answering + self.members.iter().filter(|m| m.is_voter() && m.may_be_well()).count();
        Some(match self.quorum() {
            Some(quorum) if possible < quorum => Outage::QuorumLost { answering, voters, quorum },
            _ => Outage::NoLeader { answering, voters },
        })
    }

    /// A view of nothing: no endpoint has been asked yet.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self {
            at,
            cluster_id: None,
            members: Vec::new(),
            leader: None,
            term: None,
            revision: None,
            compact_revision: None,
            alarms: Vec::new(),
            conflicts: Vec::new(),
            list_refused: None,
        }
    }

    /// Voters in the member list. Learners do not vote; unstarted members do.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|m| m.is_voter()).count()
    }

    /// Members in the member list, learners included.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.members.iter().filter(|m| m.listed).count()
    }

    /// Members that serve; only listed ones, once a member list is known.
    #[must_use]
    pub fn serving(&self) -> usize {
        let known = self.listed() > 0;
        self.members.iter().filter(|m| (m.listed || !known) && m.state.serves()).count()
    }

    /// Voters that serve: they answer and follow a leader. A member that is being defragmented counts:
    /// its raft goes on.
    #[must_use]
    pub fn healthy_voters(&self) -> usize {
        self.members
            .iter()
            .filter(|m| m.is_voter() && (m.state.serves() || m.state == MemberState::Defragmenting))
            .count()
    }

    /// Voters that answer, leader or not.
    #[must_use]
    pub fn answering_voters(&self) -> usize {
        self.members
            .iter()
            .filter(|m| m.is_voter() && (m.state.answers() || m.state == MemberState::Defragmenting))
            .count()
    }

    /// Votes needed to commit: voters / 2 + 1. None while no member list is known.
    #[must_use]
    pub fn quorum(&self) -> Option<usize> {
        match self.voters() {
            0 => None,
            voters => Some(voters / 2 + 1),
        }
    }

    /// How many further voters may fail before the quorum is lost, as far as is known. 0 when it is lost already; none
    /// when it cannot be told: a member that answers has a leader, so a quorum serves that is not all seen from here.
    #[must_use]
    pub fn can_lose(&self) -> Option<usize> {
        let (healthy, quorum) = (self.healthy_voters(), self.quorum()?);
        if healthy < quorum && self.outage().is_none() {
            return None;
        }
        Some(healthy.saturating_sub(quorum))
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&MemberView> {
        self.members.iter().find(|m| m.id == Some(id))
    }

    /// The leader's row.
    #[must_use]
    pub fn leader_view(&self) -> Option<&MemberView> {
        self.members.iter().find(|m| m.role == Role::Leader)
    }

    /// What to call a member: its name if it has one, its id otherwise.
    #[must_use]
    pub fn name_of(&self, id: MemberId) -> String {
        self.member(id).map_or_else(|| id.to_string(), MemberView::label)
    }

    /// The leader's commit index, the measure of everybody's lag.
    #[must_use]
    pub fn leader_index(&self) -> Option<RaftIndex> {
        Some(self.leader_view().filter(|m| m.state.answers())?.status.as_ref()?.raft_index)
    }

    /// The members that raised an alarm of this kind.
    pub fn raised(&self, kind: AlarmKind) -> impl Iterator<Item = MemberId> + '_ {
        self.alarms.iter().filter(move |a| a.kind == kind).map(|a| a.member)
    }

    /// The names of the members that raised an alarm of this kind, in order; empty when nobody did.
    #[must_use]
    pub fn raisers(&self, kind: AlarmKind) -> String {
        let mut names: Vec<_> = self.raised(kind).map(|id| self.name_of(id)).collect();
        names.sort();
        names.join(", ")
    }

    /// Members that do not serve, by what ails them: one group for each state that several share, because one cause
    /// is behind them more often than not.
    #[must_use]
    pub fn ailing(&self) -> Vec<Vec<&MemberView>> {
        let mut groups: Vec<Vec<&MemberView>> = Vec::new();
        for m in self.members.iter().filter(|m| m.state.ails() && !self.is_stray(m)) {
            match groups.iter_mut().find(|g| g[0].state == m.state && g[0].learner == m.learner) {
                Some(group) => group.push(m),
                None => groups.push(vec![m]),
            }
        }
        // Two are told apart: each with its own reason.
        groups
            .into_iter()
            .flat_map(|g| if g.len() > 2 { vec![g] } else { g.into_iter().map(|m| vec![m]).collect() })
            .collect()
    }

    /// Whether this row is an endpoint that leads to no member, as far as is known: every listed member has a row of
    /// its own. It says something about what was typed, nothing about the cluster.
    #[must_use]
    pub fn is_stray(&self, m: &MemberView) -> bool {
        !m.listed && !m.state.answers() && self.listed() > 0
    }

    /// Size and quota of the member whose file is the fullest; none where no quota is known.
    #[must_use]
    pub fn fullest(&self) -> Option<(Bytes, Bytes)> {
        let known = self.members.iter().filter_map(|m| Some((m.status.as_ref()?.db_size?, m.quota()?.0)));
        known.max_by(|a, b| a.0.share_of(a.1).total_cmp(&b.0.share_of(b.1)))
    }

    /// Whether any member ever answered.
    #[must_use]
    pub fn ever_answered(&self) -> bool {
        self.members.iter().any(|m| m.status.is_some())
    }

    /// What every version in use is, each once, in order.
    #[must_use]
    pub fn versions(&self) -> Vec<ForeignText> {
        let mut all: Vec<_> =
            self.members.iter().filter_map(|m| Some(m.status.as_ref()?.version.clone())).collect();
        all.sort();
        all.dedup();
        all
    }
}
