//! The scrapes of one member over the last quarter of an hour, and what lies between two of them: rates and quantiles
//! over windows, as Prometheus' `rate` and `histogram_quantile` give them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::metrics::{Histogram, MetricsSample, Spread};
use crate::model::{MemberId, Revision};

/// How far back scrapes are kept: the longest window of the etcd mixin, failed proposals.
pub const SCRAPES_SPAN: Duration = Duration::from_secs(15 * 60);
/// The window of latencies and of requests in the etcd mixin.
pub const MIXIN_WINDOW: Duration = Duration::from_secs(5 * 60);
/// A scrape that is older than this says nothing about now, unless scrapes come so far apart.
pub const LEAST_STANDS: Duration = Duration::from_secs(20);

/// One scrape.
#[derive(Clone, Debug)]
struct Scrape {
    at: Timestamp,
    sample: Arc<MetricsSample>,
}

/// The slowest of a hundred between two scrapes, for charts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// When the second of them came.
    pub at: Timestamp,
    /// p99 of the log's fsync.
    pub fsync: Option<Duration>,
    /// p99 of the backend's commit.
    pub commit: Option<Duration>,
    /// p99 of the round trip to each peer that one was observed to.
    pub rtt: Vec<(MemberId, Duration)>,
}

/// The scrapes of one member, oldest first; the older, the further apart.
#[derive(Clone, Debug, Default)]
pub struct Scrapes {
    kept: Vec<Scrape>,
    points: VecDeque<Point>,
    floor: Option<Floor>,
}

/// The compact revision of a member, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The revision.
    pub revision: Revision,
    /// Since when it is known to be that one.
    pub since: Timestamp,
    /// It was another one before: a compaction was seen.
    pub moved: bool,
}

/// How far apart scrapes of an age are kept: so much is enough for a window that reaches so far back.
const fn step(age: Duration) -> Duration {
    match age.as_secs() {
        0..60 => Duration::ZERO,
        60..330 => Duration::from_secs(14),
        _ => Duration::from_secs(59),
    }
}

fn apart(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

impl Scrapes {
    /// Takes a scrape; the one that it has already is none.
    ///
    /// `serves` tells which peers answer: etcd goes on observing the last round trip that it knew to those that do not.
    pub(super) fn push(
        &mut self,
        at: Timestamp,
        sample: &Arc<MetricsSample>,
        serves: impl Fn(MemberId) -> bool,
    ) {
        match self.kept.last() {
            Some(last) if last.at == at => return,
            // The clock jumped back: what was told in its future says nothing about now.
            Some(last) if last.at > at => *self = Self::default(),
            Some(last) => {
                let mut point = point(&last.sample, sample, at);
                point.rtt.retain(|(peer, _)| serves(*peer));
                self.points.push_back(point);
            }
            None => {}
        }
        if let Some(revision) = sample.compact_revision
            && self.floor.is_none_or(|known| known.revision != revision)
        {
            self.floor = Some(Floor { revision, since: at, moved: self.floor.is_some() });
        }
        self.kept.push(Scrape { at, sample: Arc::clone(sample) });
        self.points.retain(|p| apart(p.at, at) <= SCRAPES_SPAN);
        self.kept.retain(|s| apart(s.at, at) <= SCRAPES_SPAN);
        let mut i = 1;
        while i + 1 < self.kept.len() {
            let (before, this, after) = (&self.kept[i - 1], &self.kept[i], &self.kept[i + 1]);
            if apart(before.at, after.at) <= step(apart(this.at, at)) {
                self.kept.remove(i);
            } else {
                i += 1;
            }
        }
    }

    /// What came within `window` before `now`: none with fewer than two scrapes, or if the last one is old.
    #[must_use]
    pub fn over(&self, now: Timestamp, window: Duration) -> Option<Window<'_>> {
        // Where scrapes come seldom, a short window would hold one of them, or none.
        let window = window.max(self.pace() * 5 / 2);
        let first = self.kept.iter().position(|s| s.at > now || apart(s.at, now) < window)?;
        let scrapes = &self.kept[first..];
        let stands = scrapes.last().is_some_and(|s| now.duration_since(s.at).unsigned_abs() < self.stands());
        (stands && scrapes.len() > 1).then_some(Window { scrapes })
    }

    /// How far the last two scrapes are apart; zero while there is one.
    #[must_use]
    pub fn pace(&self) -> Duration {
        let mut last = self.kept.iter().rev();
        last.next().zip(last.next()).map_or(Duration::ZERO, |(b, a)| apart(a.at, b.at))
    }

    /// How old the last scrape may be to be one of now.
    #[must_use]
    pub fn stands(&self) -> Duration {
        (self.pace() * 3).clamp(LEAST_STANDS, Duration::from_secs(180))
    }

    /// The points of a chart, oldest first.
    #[must_use]
    pub const fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// The compact revision.
    #[must_use]
    pub const fn floor(&self) -> Option<Floor> {
        self.floor
    }

    /// Since when the scrapes go on.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.kept.first().map(|s| s.at)
    }
}

fn point(before: &MetricsSample, now: &MetricsSample, at: Timestamp) -> Point {
    let p99 = |a: Option<&Histogram>, b: Option<&Histogram>| b?.since(a?).quantile(0.99);
    Point {
        at,
        fsync: p99(before.wal_fsync.as_ref(), now.wal_fsync.as_ref()),
        commit: p99(before.backend_commit.as_ref(), now.backend_commit.as_ref()),
        rtt: now
            .peer_rtt
            .iter()
            .filter_map(|(to, h)| Some((*to, p99(before.rtt_to(*to), Some(h))?)))
            .collect(),
    }
}

/// Two scrapes or more, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    scrapes: &'a [Scrape],
}

impl<'a> Window<'a> {
    /// From the first scrape to the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.scrapes.first().zip(self.scrapes.last()).map_or(Duration::ZERO, |(a, b)| apart(a.at, b.at))
    }

    /// The last scrape.
    #[must_use]
    pub fn newest(&self) -> Option<&'a MetricsSample> {
        self.scrapes.last().map(|s| &*s.sample)
    }

    /// By how much a counter grew. A process that was started anew counts from 0 again.
    #[must_use]
    pub fn increase(&self, counter: impl Fn(&MetricsSample) -> Option<u64>) -> Option<u64> {
        let mut told = self.scrapes.iter().filter_map(|s| counter(&s.sample));
        let mut last = told.next()?;
        let mut grown = None;
        for now in told {
            let more = now.checked_sub(last).unwrap_or(now);
            grown = Some(grown.unwrap_or(0_u64).saturating_add(more));
            last = now;
        }
        grown
    }

    /// By how much a counter grew per second.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // rates for people
    pub fn rate(&self, counter: impl Fn(&MetricsSample) -> Option<u64>) -> Option<f64> {
        let grown = self.increase(counter)? as f64;
        let span = self.span().as_secs_f64();
        (span > 0.0).then(|| grown / span)
    }

    /// By how much a gauge changed per second.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // rates for people
    pub fn slope(&self, gauge: impl Fn(&MetricsSample) -> Option<u64>) -> Option<f64> {
        let mut told = self.scrapes.iter().filter_map(|s| Some((s.at, gauge(&s.sample)? as f64)));
        let ((from, before), (to, now)) = (told.next()?, told.next_back()?);
        let span = apart(from, to).as_secs_f64();
        (span > 0.0).then(|| (now - before) / span)
    }

    /// How what a histogram observed is spread; none when nothing was observed.
    #[must_use]
    pub fn spread(&self, histogram: impl Fn(&MetricsSample) -> Option<&Histogram>) -> Option<Spread> {
        let mut told = self.scrapes.iter().filter_map(|s| histogram(&s.sample));
        let mut last = told.next()?;
        let mut sum = Histogram::default();
        for now in told {
            let more = now.since(last);
            if sum.buckets.is_empty() {
                sum = more;
            } else {
                sum.add(&more);
            }
            last = now;
        }
        sum.spread(self.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    fn at(seconds: i64) -> Timestamp {
        noon().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap()
    }

    fn failed(n: u64) -> Arc<MetricsSample> {
        Arc::new(MetricsSample { proposals_failed: Some(n), ..MetricsSample::default() })
    }

    fn fsyncs(fast: u64, slow: u64) -> Arc<MetricsSample> {
        let buckets = vec![(0.001, fast), (1.0, fast + slow), (f64::INFINITY, fast + slow)];
        Arc::new(MetricsSample {
            wal_fsync: Some(Histogram { buckets, sum: 0.0 }),
            ..MetricsSample::default()
        })
    }

    fn scrapes(samples: impl IntoIterator<Item = (i64, Arc<MetricsSample>)>) -> Scrapes {
        let mut scrapes = Scrapes::default();
        for (second, sample) in samples {
            scrapes.push(at(second), &sample, |_| true);
        }
        scrapes
    }

    #[test]
    fn a_counter_that_starts_again_goes_on_counting() {
        let s = scrapes([(0, failed(100)), (10, failed(110)), (20, failed(4)), (30, failed(9))]);
        let window = s.over(at(30), MIXIN_WINDOW).unwrap();
        assert_eq!(window.increase(|s| s.proposals_failed), Some(10 + 4 + 5));
        assert_eq!(window.rate(|s| s.proposals_failed), Some(19.0 / 30.0));
        assert_eq!(window.increase(|s| s.keys), None, "what is not exported did not grow by 0");
    }

    #[test]
    fn a_window_ends_where_it_begins_and_old_scrapes_are_not_now() {
        let s = scrapes((0..80_u64).map(|i| (i.cast_signed() * 5, failed(i))));
        let last = 79 * 5;
        let window = s.over(at(last), Duration::from_secs(60)).unwrap();
        assert_eq!(window.span(), Duration::from_secs(55));
        assert_eq!(window.increase(|s| s.proposals_failed), Some(11));
        let window = s.over(at(last), MIXIN_WINDOW).unwrap();
        assert!((window.rate(|s| s.proposals_failed).unwrap() - 0.2).abs() < 1e-9);
        assert!(window.span() >= Duration::from_secs(270), "{:?}", window.span());
        assert!(s.over(at(last + 30), MIXIN_WINDOW).is_none());
        // Scraped once a minute, the last one stands for longer, and a window of a minute holds more than one.
        let seldom = scrapes((0..5_u64).map(|i| (i.cast_signed() * 60, failed(i))));
        let window = seldom.over(at(4 * 60 + 55), Duration::from_secs(60)).unwrap();
        assert_eq!(window.increase(|s| s.proposals_failed), Some(1));
        assert!(scrapes([(0, failed(1))]).over(at(0), MIXIN_WINDOW).is_none(), "one scrape is no rate");
    }

    #[test]
    fn scrapes_are_thinned_with_age_but_points_are_not() {
        let s = scrapes((0..400).map(|i| (i * 5, failed(0))));
        assert!(s.kept.len() < 60, "{}", s.kept.len());
        assert!(s.points.len() > 175, "{}", s.points.len());
        let reach = apart(s.kept[0].at, at(399 * 5));
        assert!(reach > Duration::from_secs(14 * 60) && reach <= SCRAPES_SPAN, "{reach:?}");
    }

    #[test]
    fn quantiles_are_of_the_window_and_survive_a_restart() {
        // A restart between the second and the third.
        let s =
            scrapes([(0, fsyncs(1_000, 0)), (5, fsyncs(1_050, 0)), (10, fsyncs(0, 25)), (15, fsyncs(0, 50))]);
        let spread = s.over(at(15), MIXIN_WINDOW).unwrap().spread(|s| s.wal_fsync.as_ref()).unwrap();
        assert_eq!(spread.count, 100);
        assert!(
            spread.p50 <= Duration::from_millis(1) && spread.p99 > Duration::from_millis(900),
            "{spread:?}"
        );
        assert_eq!(s.points().iter().filter(|p| p.fsync.is_some()).count(), 3);
    }

    #[test]
    fn the_floor_is_known_since_it_was_seen_first() {
        let floor =
            |n| Arc::new(MetricsSample { compact_revision: Some(Revision(n)), ..MetricsSample::default() });
        let s = scrapes([(0, floor(5)), (5, floor(9)), (10, floor(9))]);
        assert_eq!(s.floor(), Some(Floor { revision: Revision(9), since: at(5), moved: true }));
    }
}
