//! One member as the dashboard and `etcdtop status` show it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::endpoint::Endpoint;
use super::ids::{Bytes, MemberId, Revision};
use super::status::{AlarmKind, MemberStatus};
use super::text::ForeignText;

/// A member's part in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
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

/// One scrape of `/metrics`, cut down to what the screens use. All counters are since the start of the
/// process; what the member does not export is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSample {
    /// `etcd_server_id`: whose figures these are.
    pub server_id: Option<MemberId>,
    /// `etcd_server_quota_backend_bytes`.
    pub quota: Option<Bytes>,
    /// `etcd_debugging_mvcc_compact_revision`: the floor.
    pub compact_revision: Option<Revision>,
    /// `etcd_debugging_mvcc_keys_total`: live keys.
    pub keys: Option<u64>,
    /// `etcd_server_leader_changes_seen_total`.
    pub leader_changes: Option<u64>,
    /// `etcd_server_proposals_committed_total`.
    pub proposals_committed: Option<u64>,
    /// `etcd_server_proposals_applied_total`.
    pub proposals_applied: Option<u64>,
    /// `etcd_server_proposals_pending`.
    pub proposals_pending: Option<u64>,
    /// `etcd_server_proposals_failed_total`.
    pub proposals_failed: Option<u64>,
    /// `etcd_server_slow_apply_total`.
    pub slow_applies: Option<u64>,
    /// `etcd_server_heartbeat_send_failures_total`.
    pub heartbeat_failures: Option<u64>,
    /// `etcd_disk_wal_fsync_duration_seconds`.
    pub wal_fsync: Option<Histogram>,
    /// `etcd_disk_backend_commit_duration_seconds`.
    pub backend_commit: Option<Histogram>,
    /// `etcd_network_peer_round_trip_time_seconds`, by the peer in its label `To`.
    pub peer_rtt: Vec<(MemberId, Histogram)>,
    /// `process_resident_memory_bytes`.
    pub resident_memory: Option<Bytes>,
    /// `process_open_fds`.
    pub open_fds: Option<u64>,
    /// `process_max_fds`.
    pub max_fds: Option<u64>,
    /// `process_start_time_seconds`.
    pub started_at: Option<Timestamp>,
    /// `etcd_disk_backend_defrag_duration_seconds_count`: defragmentations that ended.
    pub defragmentations: Option<u64>,
    /// `etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count`: compactions whose physical work ended.
    pub compactions: Option<u64>,
    /// `etcd_disk_defrag_inflight` is 1.
    pub defrag_inflight: Option<bool>,
}

/// A Prometheus histogram as scraped: upper bounds in seconds (the last is infinite) and cumulative counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// `(le, cumulative count)`, ascending.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all observations, seconds.
    pub sum: f64,
}

impl Histogram {
    /// The quantile `q` (0..1) of what was observed since `earlier`, by linear interpolation inside the
    /// bucket as Prometheus' `histogram_quantile` does; the highest finite bound, which is a floor, when the answer
    /// lies in the open last bucket. `None` when nothing was observed in between, or the process restarted.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of observations between two scrapes
    pub fn quantile_since(&self, earlier: &Self, q: f64) -> Option<Duration> {
        if self.buckets.len() != earlier.buckets.len() {
            return None;
        }
        let mut counts = Vec::with_capacity(self.buckets.len());
        for ((le, now), (le_before, before)) in self.buckets.iter().zip(&earlier.buckets) {
            if (le - le_before).abs() > f64::EPSILON && le.is_finite() {
                return None;
            }
            counts.push((*le, now.checked_sub(*before)? as f64));
        }
        let total = counts.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (le, count) in counts {
            if count >= rank {
                if !le.is_finite() {
                    return Duration::try_from_secs_f64(lower).ok();
                }
                let inside = count - below;
                let part = if inside > 0.0 { (rank - below) / inside } else { 1.0 };
                return Duration::try_from_secs_f64(lower + (le - lower) * part).ok();
            }
            (lower, below) = (le, count);
        }
        None
    }
}

/// The certificate that the member showed in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its subject.
    pub subject: ForeignText,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// One member of the cluster (or an endpoint behind which no member answered yet).
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    /// Its id, once known.
    pub id: Option<MemberId>,
    /// Its name; empty when unknown or unstarted.
    pub name: ForeignText,
    /// The endpoint that is used for it. None for an unstarted member: it has no client url.
    pub endpoint: Option<Endpoint>,
    /// Further typed endpoints that lead to this same member.
    pub also_at: Vec<Endpoint>,
    /// Advertised client urls.
    pub client_urls: Vec<ForeignText>,
    /// Advertised peer urls.
    pub peer_urls: Vec<ForeignText>,
    /// Whether the member list calls it a learner.
    pub learner: bool,
    /// Whether it is in the member list; false for an endpoint that never told who it is.
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
    pub latency: Option<Duration>,
    /// Its last `Status`, kept when it stops answering.
    pub status: Option<MemberStatus>,
    /// When that was received.
    pub status_at: Option<Timestamp>,
    /// When it was asked for: what it says was true at some moment between the two.
    pub status_asked: Option<Timestamp>,
    /// Its last scrape of `/metrics`.
    pub metrics: Option<MetricsSample>,
    /// The scrape before that: two give rates and quantiles.
    pub metrics_before: Option<MetricsSample>,
    /// When the last scrape was received.
    pub metrics_at: Option<Timestamp>,
    /// When that scrape was asked for: its figures are of later.
    pub metrics_asked: Option<Timestamp>,
    /// When a scrape was asked for last that came, or failed.
    pub scrape_asked: Option<Timestamp>,
    /// Why there are no metrics, if the last scrape failed.
    pub metrics_error: Option<ForeignText>,
    /// Its certificate, on TLS.
    pub certificate: Option<PeerCertificate>,
    /// The kinds of alarm that this member itself raised.
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
            metrics_before: None,
            metrics_at: None,
            metrics_asked: None,
            scrape_asked: None,
            metrics_error: None,
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

    fn histogram(counts: &[u64]) -> Histogram {
        let bounds = [0.001, 0.002, 0.004, f64::INFINITY];
        Histogram { buckets: bounds.into_iter().zip(counts.iter().copied()).collect(), sum: 0.0 }
    }

    #[test]
    fn quantiles_interpolate_as_prometheus_does() {
        let before = histogram(&[10, 10, 10, 10]);
        let after = histogram(&[60, 110, 110, 110]);
        // 100 observations: 50 up to 1 ms, 50 up to 2 ms. p50 = 1 ms, p99 = 1.98 ms.
        assert_eq!(after.quantile_since(&before, 0.5), Some(Duration::from_millis(1)));
        assert_eq!(after.quantile_since(&before, 0.99), Some(Duration::from_micros(1_980)));
    }

    #[test]
    fn a_restart_or_silence_gives_no_quantile() {
        let before = histogram(&[10, 10, 10, 10]);
        assert_eq!(before.quantile_since(&before, 0.99), None);
        assert_eq!(histogram(&[1, 2, 3, 4]).quantile_since(&before, 0.99), None);
    }

    #[test]
    fn the_open_bucket_answers_with_its_floor() {
        let before = histogram(&[0, 0, 0, 0]);
        assert_eq!(histogram(&[0, 0, 0, 9]).quantile_since(&before, 0.5), Some(Duration::from_millis(4)));
    }
}
