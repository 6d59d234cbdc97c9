//! One member as the dashboard and `etcdtop status` show it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::ids::{Bytes, MemberId};
use super::metrics::MetricsSample;
use super::status::{AlarmKind, MemberStatus};
use super::text::ForeignText;

/// A member's part in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Most members that can be trusted to know name it as the leader.
    Leader,
    /// A voter that is not the leader.
    Follower,
    /// Gets the log, has no vote.
    Learner,
    /// Added to the member list, never started: it has no name yet.
    Unstarted,
    /// It never answered, so nobody told.
    Unknown,
}

impl Role {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Unstarted => "unstarted",
            Self::Unknown => "unknown",
        }
    }
}

/// How a member does, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// The first answer is still awaited.
    Connecting,
    /// Answers in time and has a leader.
    Ok,
    /// Answers, but later than [`SLOW_AFTER`].
    Slow,
    /// Accepts TCP but does not answer.
    Hung,
    /// The host is there, nothing listens on the port.
    Refused,
    /// No name, no route, or packets vanish.
    Unreachable,
    /// The TLS handshake fails, or one side speaks TLS and the other does not.
    Tls,
    /// User, password, token or client certificate is not accepted, or root is needed.
    Auth,
    /// Answers, and has no leader.
    NoLeader,
    /// Is rewriting its file on our demand: no answer is expected.
    Defragmenting,
    /// In the member list, never started.
    Unstarted,
    /// Something answers that is no etcd v3 member, or an etcd error that fits no other state.
    Failing,
}

impl MemberState {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Hung => "hung",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::NoLeader => "no_leader",
            Self::Defragmenting => "defragmenting",
            Self::Unstarted => "unstarted",
            Self::Failing => "failing",
        }
    }

    /// The word for it on a screen.
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::NoLeader => "no leader",
            other => other.word(),
        }
    }

    /// Whether something is wrong with a member in this state.
    #[must_use]
    pub const fn ails(self) -> bool {
        !matches!(self, Self::Ok | Self::Defragmenting | Self::Connecting)
    }

    /// Whether the member answers calls.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Ok | Self::Slow | Self::NoLeader)
    }

    /// Whether the member serves: answers and follows a leader.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Ok | Self::Slow)
    }
}

/// A `Status` that took longer is slow: about the time of an election (etcd's default is 1 s), well
/// above any network that etcd should run on.
pub const SLOW_AFTER: Duration = Duration::from_millis(500);

/// A member that accepts TCP and has not answered for so long is named hung. With a poll every second
/// that is at most 2.2 s after it stopped.
pub const HUNG_AFTER: Duration = Duration::from_millis(1_200);

/// Where a quota was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotaSource {
    /// `Status.dbSizeQuota`, 3.6 and later.
    Status,
    /// `etcd_server_quota_backend_bytes`.
    Metrics,
}

/// Between what bounds the clock of a member is ahead of ours (negative: behind), in seconds.
///
/// Answers over HTTP carry the time in whole seconds (`Date`), so that one answer leaves more than a second open; but
/// each further one leaves less, because it was given at another fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

impl ClockOffset {
    /// What one answer tells that said `date` and was on its way between `asked` and `at`.
    #[must_use]
    pub fn told(date: Timestamp, asked: Timestamp, at: Timestamp) -> Self {
        Self {
            low: date.duration_since(at).as_secs_f64(),
            high: date.duration_since(asked).as_secs_f64() + 1.0,
        }
    }

    /// What both tell together; the newer alone, if they contradict each other: a clock was set in between.
    #[must_use]
    pub fn narrowed(self, newer: Self) -> Self {
        let both = Self { low: self.low.max(newer.low), high: self.high.min(newer.high) };
        if both.low <= both.high { both } else { newer }
    }

    /// How far two clocks are apart at the least.
    #[must_use]
    pub fn apart(self, other: Self) -> f64 {
        (self.low - other.high).max(other.low - self.high).max(0.0)
    }
}

/// The certificate that the member showed in the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCertificate {
    /// Its subject.
    pub subject: ForeignText,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// One member of the cluster (or an endpoint behind which no member answered yet).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its id, once known.
    pub id: Option<MemberId>,
    /// Its name; empty when unknown or unstarted.
    #[serde(default)]
    pub name: ForeignText,
    /// The endpoint that is used for it. None for an unstarted member: it has no client url.
    pub endpoint: Option<Endpoint>,
    /// Further typed endpoints that lead to this same member.
    #[serde(default)]
    pub also_at: Vec<Endpoint>,
    /// Advertised client urls.
    #[serde(default)]
    pub client_urls: Vec<ForeignText>,
    /// Advertised peer urls.
    #[serde(default)]
    pub peer_urls: Vec<ForeignText>,
    /// Whether the member list calls it a learner.
    #[serde(default)]
    pub learner: bool,
    /// Whether it is in the member list; false for an endpoint that never told who it is.
    #[serde(default)]
    pub listed: bool,
    /// Its role.
    pub role: Role,
    /// Its state.
    pub state: MemberState,
    /// The reason in words, such as `accepts TCP, no answer for 3 s`; none when all is well.
    pub detail: Option<ForeignText>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// How long its last `Status` took.
    #[serde(default, with = "super::nanos")]
    pub latency: Option<Duration>,
    /// Its last `Status`, kept when it stops answering.
    pub status: Option<MemberStatus>,
    /// When that was received.
    pub status_at: Option<Timestamp>,
    /// When it was asked for: what it says was true at some moment between the two.
    pub status_asked: Option<Timestamp>,
    /// Its last scrape of `/metrics`.
    pub metrics: Option<Arc<MetricsSample>>,
    /// When the last scrape was received.
    pub metrics_at: Option<Timestamp>,
    /// When that scrape was asked for: its figures are of later.
    pub metrics_asked: Option<Timestamp>,
    /// When a scrape was asked for last that came, or failed.
    pub scrape_asked: Option<Timestamp>,
    /// Why there are no metrics, if the last scrape failed.
    pub metrics_error: Option<ForeignText>,
    /// How far its clock is ahead of ours, as its answers over HTTP tell; none while they tell nothing.
    pub clock: Option<ClockOffset>,
    /// Its certificate, on TLS.
    pub certificate: Option<PeerCertificate>,
    /// The kinds of alarm that this member itself raised.
    #[serde(default)]
    pub alarms: Vec<AlarmKind>,
    /// How far its applied index is behind the leader's commit index. None when one of them is unknown or stale.
    pub lag: Option<u64>,
}

impl MemberView {
    /// A member of which nothing is known yet.
    #[must_use]
    pub fn unknown(since: Timestamp) -> Self {
        Self {
            id: None,
            name: ForeignText::default(),
            endpoint: None,
            also_at: Vec::new(),
            client_urls: Vec::new(),
            peer_urls: Vec::new(),
            learner: false,
            listed: false,
            role: Role::Unknown,
            state: MemberState::Connecting,
            detail: None,
            since,
            latency: None,
            status: None,
            status_at: None,
            status_asked: None,
            metrics: None,
            metrics_at: None,
            metrics_asked: None,
            scrape_asked: None,
            metrics_error: None,
            clock: None,
            certificate: None,
            alarms: Vec::new(),
            lag: None,
        }
    }

    /// The moment that its last `Status` is of: half way between question and answer.
    #[must_use]
    pub fn read_at(&self) -> Option<Timestamp> {
        let (asked, at) = (self.status_asked?, self.status_at?);
        asked.checked_add(at.duration_since(asked) / 2).ok()
    }

    /// The quota in force and where it was learned: `Status` from 3.6 on, the metric before.
    #[must_use]
    pub fn quota(&self) -> Option<(Bytes, QuotaSource)> {
        let from_status = self.status.as_ref().and_then(|s| s.db_quota);
        from_status
            .map(|q| (q, QuotaSource::Status))
            .or_else(|| Some((self.metrics.as_ref()?.quota?, QuotaSource::Metrics)))
    }

    /// What to call it: its name, else its endpoint, else the host that it is expected on, else its id.
    #[must_use]
    pub fn label(&self) -> String {
        if !self.name.is_empty() {
            self.name.to_string()
        } else if let Some(endpoint) = &self.endpoint {
            endpoint.to_string()
        } else if let Some(url) = self.peer_urls.first() {
            // Never started: all that is known is where its peers will look for it.
            let shown = url.to_string();
            format!("peer {}", shown.split_once("://").map_or(shown.as_str(), |(_, host)| host))
        } else if let Some(id) = self.id {
            id.to_string()
        } else {
            "?".into()
        }
    }

    /// Whether it may be well although it does not answer here: it was not asked yet, it answered but not to us, or it
    /// never could be reached from here.
    #[must_use]
    pub const fn may_be_well(&self) -> bool {
        match self.state {
            MemberState::Connecting | MemberState::Tls | MemberState::Auth | MemberState::Failing => true,
            // What was reached before and is gone now is gone for the others, too, more often than not.
            MemberState::Unreachable => self.status.is_none(),
            _ => false,
        }
    }

    /// Its metrics, to change them.
    #[cfg(test)]
    pub(crate) fn metrics_mut(&mut self) -> &mut MetricsSample {
        Arc::make_mut(self.metrics.get_or_insert_default())
    }

    /// Whether it votes (learners and members that nobody listed do not).
    #[must_use]
    pub const fn is_voter(&self) -> bool {
        self.listed && !self.learner
    }

    /// How old its figures are at `now`; none when it never answered.
    #[must_use]
    pub fn figures_age(&self, now: Timestamp) -> Option<Duration> {
        Some(Duration::try_from(now.duration_since(self.status_at?)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_narrows_how_far_a_clock_is_off() {
        let at = |ms: i64| Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap();
        // A clock that is 2.5 s ahead, asked at 0.1 s and at 0.9 s, 10 ms each way.
        let first = ClockOffset::told(at(2_000), at(100), at(120));
        let second = ClockOffset::told(at(3_000), at(900), at(920));
        let offset = first.narrowed(second);
        assert!(offset.low <= 2.5 && 2.5 <= offset.high, "{offset:?}");
        assert!(offset.high - offset.low < 0.9, "{offset:?}");
        let ours = ClockOffset { low: -0.1, high: 0.1 };
        assert!(offset.apart(ours) > 1.0 && ours.apart(offset) > 1.0, "{offset:?}");
        assert!(ours.apart(ClockOffset { low: 0.05, high: 0.9 }).abs() < f64::EPSILON);
        // Set back by hand: what was known before is void.
        let set = ClockOffset::told(at(1_000), at(1_100), at(1_120));
        assert_eq!(offset.narrowed(set), set);
    }
}
