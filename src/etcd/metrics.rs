//! `/metrics` in Prometheus' text format, cut down to what the screens use.
//!
//! A scrape has about 170 KiB and 2,000 lines, of which some 150 matter: a line is looked at only as far as
//! its name, nothing is copied but the figures. Bytes, not text: a body need not be UTF-8 to be read.

use jiff::Timestamp;
use thiserror::Error;

use crate::model::metrics::{Calls, Histogram, Method};
use crate::model::{Bytes, MemberId, MetricsSample, Revision};

/// Why a body gives no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetricsError {
    /// Nothing of etcd's in it.
    #[error("the body has no etcd metric in it: is that etcd's /metrics?")]
    NothingKnown,
}

/// Buckets that are kept per histogram: etcd's have 14 to 20; a hostile body may claim millions.
const MAX_BUCKETS: usize = 64;
/// Peers that are kept: an etcd cluster has at most nine or so members.
const MAX_PEERS: usize = 64;
/// Methods that are kept: etcd has some forty.
const MAX_METHODS: usize = 64;
/// The codes that the etcd mixin counts as failed.
const FAILED: [&[u8]; 7] = [
    b"Unknown",
    b"FailedPrecondition",
    b"ResourceExhausted",
    b"Internal",
    b"Unavailable",
    b"DataLoss",
    b"DeadlineExceeded",
];

/// Reads one scrape. A last line without an end is dropped: the body was cut there.
///
/// # Errors
/// [`MetricsError::NothingKnown`] if no line is one of etcd's.
pub fn parse(body: &[u8]) -> Result<MetricsSample, MetricsError> {
    let mut sample = MetricsSample::default();
    let mut known = 0_usize;
    let whole = body.iter().rposition(|&b| b == b'\n').map_or(&[][..], |end| &body[..end]);
    for line in whole.split(|&b| b == b'\n') {
        if line.starts_with(b"etcd_") || line.starts_with(b"process_") {
            known += usize::from(take(line, &mut sample).is_some());
        } else if let Some(rest) = line.strip_prefix(b"grpc_server_hand") {
            let _ = calls(rest, &mut sample.methods);
        }
    }
    if known == 0 {
        return Err(MetricsError::NothingKnown);
    }
    // The rest of a histogram that was cut off is not there: what is would look like another process's.
    sample.wal_fsync.take_if(|h| !h.is_whole());
    sample.backend_commit.take_if(|h| !h.is_whole());
    sample.peer_rtt.retain(|(_, h)| h.is_whole());
    for (_, calls) in &mut sample.methods {
        calls.handling.take_if(|h| !h.is_whole());
    }
    // etcd exports every method with every code from the start, most of them 0.
    sample.methods.retain(|(_, calls)| calls.handled > 0);
    Ok(sample)
}

fn take(line: &[u8], sample: &mut MetricsSample) -> Option<()> {
    let name_end = line.iter().position(|&b| b == b'{' || b == b' ')?;
    let (name, rest) = line.split_at(name_end);
    let counter = |into: &mut Option<u64>| {
        *into = count(rest);
        into.map(drop)
    };
    match name {
        b"etcd_server_quota_backend_bytes" => sample.quota = count(rest).filter(|&n| n > 0).map(Bytes),
        b"etcd_debugging_mvcc_compact_revision" => {
            sample.compact_revision = floor(rest);
        }
        b"etcd_mvcc_db_total_size_in_bytes" => sample.db_size = count(rest).map(Bytes),
        b"etcd_mvcc_db_total_size_in_use_in_bytes" => sample.db_size_in_use = count(rest).map(Bytes),
        b"etcd_debugging_mvcc_keys_total" => return counter(&mut sample.keys),
        b"etcd_server_leader_changes_seen_total" => return counter(&mut sample.leader_changes),
        b"etcd_server_proposals_committed_total" => return counter(&mut sample.proposals_committed),
        b"etcd_server_proposals_applied_total" => return counter(&mut sample.proposals_applied),
        b"etcd_server_proposals_pending" => return counter(&mut sample.proposals_pending),
        b"etcd_server_proposals_failed_total" => return counter(&mut sample.proposals_failed),
        b"etcd_server_slow_apply_total" => return counter(&mut sample.slow_applies),
        b"etcd_server_slow_read_indexes_total" => return counter(&mut sample.slow_reads),
        b"etcd_debugging_mvcc_watcher_total" => return counter(&mut sample.watchers),
        b"etcd_debugging_mvcc_slow_watcher_total" => return counter(&mut sample.slow_watchers),
        b"etcd_network_client_grpc_received_bytes_total" => return counter(&mut sample.client_received),
        b"etcd_network_client_grpc_sent_bytes_total" => return counter(&mut sample.client_sent),
        b"etcd_network_peer_sent_failures_total" => {
            let to = peer_id(rest)?;
            if sample.send_failures.len() < MAX_PEERS {
                sample.send_failures.push((to, count(rest)?));
            }
        }
        b"etcd_server_heartbeat_send_failures_total" => return counter(&mut sample.heartbeat_failures),
        b"etcd_server_id" => {
            let id = std::str::from_utf8(label(rest, b"server_id")?).ok()?;
            sample.server_id = u64::from_str_radix(id, 16).ok().map(MemberId);
        }
        b"etcd_disk_defrag_inflight" => sample.defrag_inflight = count(rest).map(|n| n > 0),
        b"process_resident_memory_bytes" => sample.resident_memory = count(rest).map(Bytes),
        b"etcd_disk_backend_defrag_duration_seconds_count" => return counter(&mut sample.defragmentations),
        b"etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count" => {
            return counter(&mut sample.compactions);
        }
        b"process_open_fds" => return counter(&mut sample.open_fds),
        b"process_max_fds" => return counter(&mut sample.max_fds),
        b"process_start_time_seconds" => sample.started_at = value(rest).and_then(start_time),
        _ => return histogram_part(name, rest, sample),
    }
    Some(())
}

/// `name_bucket{...,le="..."}` and `name_sum` of the histograms that are kept.
fn histogram_part(name: &[u8], rest: &[u8], sample: &mut MetricsSample) -> Option<()> {
    let (base, part) = match () {
        () if name.ends_with(b"_bucket") => (&name[..name.len() - 7], Part::Bucket),
        () if name.ends_with(b"_sum") => (&name[..name.len() - 4], Part::Sum),
        () => return None,
    };
    let histogram = match base {
        b"etcd_disk_wal_fsync_duration_seconds" => sample.wal_fsync.get_or_insert_default(),
        b"etcd_disk_backend_commit_duration_seconds" => sample.backend_commit.get_or_insert_default(),
        b"etcd_network_peer_round_trip_time_seconds" => peer(&mut sample.peer_rtt, peer_id(rest)?)?,
        _ => return None,
    };
    match part {
        Part::Bucket => bucket(histogram, rest)?,
        Part::Sum => histogram.sum = value(rest)?,
    }
    Some(())
}

/// One more bucket; buckets come in ascending order.
fn bucket(histogram: &mut Histogram, rest: &[u8]) -> Option<()> {
    if histogram.buckets.len() >= MAX_BUCKETS {
        return Some(());
    }
    let le = match label(rest, b"le")? {
        b"+Inf" => f64::INFINITY,
        le => std::str::from_utf8(le).ok()?.parse().ok()?,
    };
    histogram.buckets.push((le, count(rest)?));
    Some(())
}

/// What stands behind `grpc_server_hand`: `led_total{...} 3` or `ling_seconds_bucket{...} 3`.
fn calls(rest: &[u8], methods: &mut Vec<(Method, Calls)>) -> Option<()> {
    if let Some(rest) = rest.strip_prefix(b"led_total") {
        let handled = count(rest).filter(|n| *n > 0)?;
        let failed = FAILED.contains(&label(rest, b"grpc_code")?);
        let calls = method(methods, rest)?;
        calls.stream = label(rest, b"grpc_type").is_some_and(|kind| kind != b"unary");
        calls.handled = calls.handled.saturating_add(handled);
        calls.failed = calls.failed.saturating_add(if failed { handled } else { 0 });
        return Some(());
    }
    let rest = rest.strip_prefix(b"ling_seconds_bucket")?;
    // Streams last as long as somebody listens: that says nothing.
    if label(rest, b"grpc_type")? != b"unary" {
        return None;
    }
    bucket(method(methods, rest)?.handling.get_or_insert_default(), rest)
}

/// The calls of the method that the labels name, as `KV/Put`.
fn method<'a>(methods: &'a mut Vec<(Method, Calls)>, rest: &[u8]) -> Option<&'a mut Calls> {
    let (service, name) = (label(rest, b"grpc_service")?, label(rest, b"grpc_method")?);
    let service = service.rsplit(|b| *b == b'.').next()?;
    // Lines of one method stand together: mostly it is the last one.
    let is = |method: &Method| {
        let known = method.0.as_bytes();
        known.len() == service.len() + 1 + name.len() && known.starts_with(service) && known.ends_with(name)
    };
    if let Some(at) = methods.iter().rposition(|(m, _)| is(m)) {
        return methods.get_mut(at).map(|(_, calls)| calls);
    }
    let plain = |text: &[u8]| {
        (1..=64).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    if methods.len() >= MAX_METHODS || !plain(service) || !plain(name) {
        return None;
    }
    let text = format!("{}/{}", std::str::from_utf8(service).ok()?, std::str::from_utf8(name).ok()?);
    methods.push((Method(text.into()), Calls::default()));
    methods.last_mut().map(|(_, calls)| calls)
}

/// The peer in the label `To`.
fn peer_id(rest: &[u8]) -> Option<MemberId> {
    let to = std::str::from_utf8(label(rest, b"To")?).ok()?;
    u64::from_str_radix(to, 16).ok().map(MemberId)
}

enum Part {
    Bucket,
    Sum,
}

fn peer(peers: &mut Vec<(MemberId, Histogram)>, to: MemberId) -> Option<&mut Histogram> {
    let at = match peers.iter().position(|(id, _)| *id == to) {
        Some(at) => at,
        None if peers.len() < MAX_PEERS => {
            peers.push((to, Histogram::default()));
            peers.len() - 1
        }
        None => return None,
    };
    peers.get_mut(at).map(|(_, histogram)| histogram)
}

/// The value of a label in `{a="x",b="y"} 1`. Label values with escaped quotes are none of those we want.
fn label<'a>(rest: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let inside = rest.strip_prefix(b"{")?;
    let mut left = inside;
    loop {
        let equals = left.iter().position(|&b| b == b'=' || b == b'}')?;
        let name = left.get(..equals)?;
        let quoted = left.get(equals + 1..)?.strip_prefix(b"\"")?;
        let end = quoted.iter().position(|&b| b == b'"')?;
        if name == wanted {
            return quoted.get(..end);
        }
        left = quoted.get(end + 1..)?;
        left = left.strip_prefix(b",").unwrap_or(left);
    }
}

/// The number after the labels; a timestamp may follow it.
fn value(rest: &[u8]) -> Option<f64> {
    let after = match rest.iter().rposition(|&b| b == b'}') {
        Some(brace) => rest.get(brace + 1..)?,
        None => rest,
    };
    let text = std::str::from_utf8(after).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// A value that counts something: finite, not negative. Large ones come as `1.2345e+06`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked before
fn count(rest: &[u8]) -> Option<u64> {
    value(rest).filter(|v| v.is_finite() && *v >= 0.0 && *v < 1.8e19).map(|v| v as u64)
}

/// The compact revision: below 0 where nothing was ever compacted.
#[allow(clippy::cast_possible_truncation)] // checked before
fn floor(rest: &[u8]) -> Option<Revision> {
    value(rest).filter(|v| v.is_finite() && *v < 9.2e18).map(|v| Revision((v as i64).max(0)))
}

fn start_time(seconds: f64) -> Option<Timestamp> {
    let since_epoch = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(since_epoch).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SCRAPE: &str = "\
# HELP etcd_server_quota_backend_bytes Current backend storage quota size in bytes.
# TYPE etcd_server_quota_backend_bytes gauge
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_debugging_mvcc_compact_revision 1.28e+06
etcd_server_leader_changes_seen_total 3
etcd_network_peer_round_trip_time_seconds_bucket{To=\"91bc3c398fb3c146\",le=\"0.0001\"} 0
etcd_network_peer_round_trip_time_seconds_bucket{To=\"91bc3c398fb3c146\",le=\"0.0002\"} 5
etcd_network_peer_round_trip_time_seconds_bucket{To=\"91bc3c398fb3c146\",le=\"+Inf\"} 5
etcd_network_peer_round_trip_time_seconds_sum{To=\"91bc3c398fb3c146\"} 0.0008
process_start_time_seconds 1.7e+09
grpc_server_handled_total{grpc_code=\"OK\"} 12
grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 0
grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 90
grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 3
grpc_server_handled_total{grpc_code=\"Unavailable\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 7
grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 0
grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"\x1b[2J\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 9
grpc_server_handling_seconds_bucket{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\",le=\"0.005\"} 99
grpc_server_handling_seconds_bucket{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\",le=\"+Inf\"} 100
grpc_server_handling_seconds_bucket{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\",le=\"+Inf\"} 1
";

    #[test]
    fn calls_are_counted_by_method_as_the_mixin_does() {
        let sample = parse(SCRAPE.as_bytes()).unwrap();
        let [(method, calls)] = sample.methods.as_slice() else { panic!("{:?}", sample.methods) };
        assert_eq!(&*method.0, "KV/Put", "never called, and named to harm, are left out");
        assert_eq!((calls.handled, calls.failed), (100, 7));
        assert_eq!(calls.handling.as_ref().unwrap().buckets, [(0.005, 99), (f64::INFINITY, 100)]);
    }

    #[test]
    fn a_store_that_was_never_compacted_says_so() {
        let sample = parse(b"etcd_debugging_mvcc_compact_revision -1\n").unwrap();
        assert_eq!(sample.compact_revision, Some(Revision(0)));
    }

    #[test]
    fn a_scrape_gives_what_the_screens_use() {
        let sample = parse(SCRAPE.as_bytes()).unwrap();
        assert_eq!(sample.quota, Some(Bytes(2 << 30)));
        assert_eq!(sample.compact_revision, Some(Revision(1_280_000)));
        assert_eq!(sample.leader_changes, Some(3));
        assert_eq!(sample.started_at, Some(Timestamp::from_second(1_700_000_000).unwrap()));
        let (to, rtt) = &sample.peer_rtt[0];
        assert_eq!(*to, MemberId(0x91bc_3c39_8fb3_c146));
        assert_eq!(rtt.buckets, [(0.0001, 0), (0.0002, 5), (f64::INFINITY, 5)]);
        assert_eq!(rtt.quantile(1.0), Some(Duration::from_micros(200)));
        assert_eq!(sample.keys, None, "what is not exported is not known");
    }

    #[test]
    fn a_cut_line_is_dropped_not_misread() {
        // Cut inside the number: 2.147483648e+09 must not become 2.
        let cut = &SCRAPE.as_bytes()[..SCRAPE.find("e+09").unwrap() - 9];
        assert_eq!(parse(cut), Err(MetricsError::NothingKnown));
    }

    #[test]
    fn a_histogram_that_was_cut_is_none() {
        let end = SCRAPE
            .find("etcd_network_peer_round_trip_time_seconds_bucket{To=\"91bc3c398fb3c146\",le=\"+Inf")
            .unwrap();
        let sample = parse(&SCRAPE.as_bytes()[..end]).unwrap();
        assert_eq!(sample.peer_rtt, []);
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [&b""[..], b"<html>404</html>\n", b"\xff\xfe\n", b"go_goroutines 7\n"] {
            assert_eq!(parse(body), Err(MetricsError::NothingKnown), "{body:?}");
        }
    }

    #[test]
    fn one_bad_line_spoils_no_other() {
        let body = b"etcd_server_quota_backend_bytes NaN\n\xff\xfe etcd_\netcd_server_proposals_pending -4\nprocess_open_fds 9\n";
        let sample = parse(body).unwrap();
        assert_eq!((sample.quota, sample.proposals_pending, sample.open_fds), (None, None, Some(9)));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&body);
        }

        #[test]
        fn no_mangled_scrape_panics(at in 0..SCRAPE.len(), with in any::<u8>()) {
            let mut body = SCRAPE.as_bytes().to_vec();
            body[at] = with;
            let _ = parse(&body);
        }
    }
}
