//! What one scrape of `/metrics` tells, and what can be concluded from two of them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::ids::{Bytes, MemberId, Revision};

/// One scrape of `/metrics`, cut down to what the screens and the rules use. All counters are since the start of the
/// process; what the member does not export is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricsSample {
    /// `etcd_server_id`: whose figures these are.
    pub server_id: Option<MemberId>,
    /// `etcd_server_quota_backend_bytes`.
    pub quota: Option<Bytes>,
    /// `etcd_mvcc_db_total_size_in_bytes`.
    pub db_size: Option<Bytes>,
    /// `etcd_mvcc_db_total_size_in_use_in_bytes`.
    pub db_size_in_use: Option<Bytes>,
    /// `etcd_debugging_mvcc_compact_revision`: the floor; 0 where nothing was ever compacted (etcd says -1 then).
    pub compact_revision: Option<Revision>,
    /// `etcd_debugging_mvcc_keys_total`: live keys.
    pub keys: Option<u64>,
    /// `etcd_debugging_mvcc_watcher_total`.
    pub watchers: Option<u64>,
    /// `etcd_debugging_mvcc_slow_watcher_total`: watchers that are behind.
    pub slow_watchers: Option<u64>,
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
    /// `etcd_server_slow_read_indexes_total`.
    pub slow_reads: Option<u64>,
    /// `etcd_server_heartbeat_send_failures_total`.
    pub heartbeat_failures: Option<u64>,
    /// `etcd_disk_wal_fsync_duration_seconds`.
    pub wal_fsync: Option<Histogram>,
    /// `etcd_disk_backend_commit_duration_seconds`.
    pub backend_commit: Option<Histogram>,
    /// `etcd_network_peer_round_trip_time_seconds`, by the peer in its label `To`. Observed every 30 s only (the
    /// monitor of etcd's `rafthttp`).
    pub peer_rtt: Vec<(MemberId, Histogram)>,
    /// `etcd_network_peer_sent_failures_total`, by the peer in its label `To`.
    pub send_failures: Vec<(MemberId, u64)>,
    /// `etcd_network_client_grpc_received_bytes_total`.
    pub client_received: Option<u64>,
    /// `etcd_network_client_grpc_sent_bytes_total`.
    pub client_sent: Option<u64>,
    /// What clients called, by method; methods that were never called are left out.
    pub methods: Vec<(Method, Calls)>,
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

/// Start times that are closer are those of one process: they are computed from the machine's clock, which is set now and
/// then.
const SAME_START: Duration = Duration::from_secs(5);

impl MetricsSample {
    /// Whether the process that told this tells the other one, too; taken for so where that is not told.
    #[must_use]
    pub fn same_process(&self, other: &Self) -> bool {
        let apart = self.started_at.zip(other.started_at).map(|(a, b)| b.duration_since(a).unsigned_abs());
        apart.is_none_or(|apart| apart <= SAME_START)
    }
}

/// A gRPC method: service and name, such as `KV/Put`. Letters, digits and dots only: it may be printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Method(pub Box<str>);

/// How often a method was called, and how it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// `grpc_server_handled_total`, all codes.
    pub handled: u64,
    /// Those with a code that the etcd mixin counts as failed: `Unknown`, `FailedPrecondition`, `ResourceExhausted`,
    /// `Internal`, `Unavailable`, `DataLoss`, `DeadlineExceeded`.
    pub failed: u64,
    /// It is a stream: counted when it ends, however long it lasted.
    pub stream: bool,
    /// `grpc_server_handling_seconds` of a unary method; only with `--metrics=extensive`.
    pub handling: Option<Histogram>,
}

/// A Prometheus histogram as scraped: upper bounds in seconds (the last is infinite) and cumulative counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// `(le, cumulative count)`, ascending.
    #[serde(serialize_with = "bounds", deserialize_with = "read_bounds")]
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all observations, seconds.
    pub sum: f64,
}

/// JSON knows no infinity: the last bound is `"+Inf"`, as in Prometheus' format.
fn bounds<S: serde::Serializer>(buckets: &[(f64, u64)], to: S) -> Result<S::Ok, S::Error> {
    let bound = |le: f64| if le.is_finite() { serde_json::json!(le) } else { serde_json::json!("+Inf") };
    to.collect_seq(buckets.iter().map(|(le, n)| (bound(*le), n)))
}

/// The same, read: text is the open last bound.
fn read_bounds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(f64, u64)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bound {
        Finite(f64),
        Open(String),
    }
    let buckets = Vec::<(Bound, u64)>::deserialize(from)?;
    let bound = |b| match b {
        Bound::Finite(le) => Ok(le),
        Bound::Open(text) if text == "+Inf" => Ok(f64::INFINITY),
        Bound::Open(text) => Err(serde::de::Error::custom(format!("{text:?} is no bound of a histogram"))),
    };
    buckets.into_iter().map(|(le, n)| Ok((bound(le)?, n))).collect()
}

/// How what was observed is spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half took no longer.
    pub p50: Duration,
    /// One of a hundred took longer. A floor when it lies beyond the last bound of the histogram.
    pub p99: Duration,
    /// How many were observed.
    pub count: u64,
    /// Within what time.
    pub span: Duration,
}

impl Histogram {
    /// What was added since `earlier`: all of it if the process was started anew in between.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let same =
            self.buckets.len() == earlier.buckets.len()
                && self.buckets.iter().zip(&earlier.buckets).all(|((a, n), (b, m))| {
                    n >= m && (a.total_cmp(b).is_eq() || (a - b).abs() < f64::EPSILON)
                });
        if !same {
            return self.clone();
        }
        let buckets =
            self.buckets.iter().zip(&earlier.buckets).map(|((le, n), (_, m))| (*le, n - m)).collect();
        Self { buckets, sum: (self.sum - earlier.sum).max(0.0) }
    }

    /// Adds what another one observed; one with other bounds takes its place.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.len() != other.buckets.len() {
            self.clone_from(other);
            return;
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.1 = mine.1.saturating_add(theirs.1);
        }
        self.sum += other.sum;
    }

    /// Whether the open last bucket is there: without it the scrape was cut.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.buckets.last().is_some_and(|(le, _)| le.is_infinite())
    }

    /// How many were observed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, n)| *n)
    }

    /// The quantile `q` (0..1), by linear interpolation inside the bucket as Prometheus' `histogram_quantile` does; the
    /// highest finite bound, which is a floor, when it lies in the open last bucket. `None` when nothing was observed.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // counts of observations
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.count() as f64;
        if total <= 0.0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for (le, count) in self.buckets.iter().map(|(le, n)| (*le, *n as f64)) {
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

    /// How it is spread, if anything was observed within `span`.
    #[must_use]
    pub fn spread(&self, span: Duration) -> Option<Spread> {
        Some(Spread { p50: self.quantile(0.5)?, p99: self.quantile(0.99)?, count: self.count(), span })
    }
}

impl MetricsSample {
    /// The histogram of round trips to a peer.
    #[must_use]
    pub fn rtt_to(&self, peer: MemberId) -> Option<&Histogram> {
        self.peer_rtt.iter().find(|(id, _)| *id == peer).map(|(_, histogram)| histogram)
    }

    /// The calls of a method.
    #[must_use]
    pub fn calls(&self, method: &Method) -> Option<&Calls> {
        self.methods.iter().find(|(m, _)| m == method).map(|(_, calls)| calls)
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
        let between = histogram(&[60, 110, 110, 110]).since(&before);
        // 100 observations: 50 up to 1 ms, 50 up to 2 ms. p50 = 1 ms, p99 = 1.98 ms.
        assert_eq!(between.quantile(0.5), Some(Duration::from_millis(1)));
        assert_eq!(between.quantile(0.99), Some(Duration::from_micros(1_980)));
    }

    #[test]
    fn silence_gives_no_quantile_and_a_restart_gives_that_of_the_new_process() {
        let before = histogram(&[10, 10, 10, 10]);
        assert_eq!(before.since(&before).quantile(0.99), None);
        let restarted = histogram(&[1, 1, 1, 1]);
        assert_eq!(restarted.since(&before), restarted);
    }

    #[test]
    fn the_open_bucket_answers_with_its_floor() {
        assert_eq!(histogram(&[0, 0, 0, 9]).quantile(0.5), Some(Duration::from_millis(4)));
    }
}
