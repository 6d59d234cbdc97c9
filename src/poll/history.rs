//! What was seen over time, per member: a ring a second for the last quarter of an hour, and a ring a
//! minute for the last day. Fed with views one after the other, live or from a recording.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::scrapes::{MIXIN_WINDOW, Scrapes, Window};
use crate::model::metrics::Spread;
use crate::model::{Bytes, ClusterView, MemberId, MemberState, MemberView, RaftIndex, Revision};

/// Figures of one member at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Allocated bytes.
    pub db_size: Option<Bytes>,
    /// Bytes in use.
    pub in_use: Option<Bytes>,
    /// How long `Status` took.
    pub latency: Option<Duration>,
    /// Commit index.
    pub raft_index: Option<RaftIndex>,
    /// Applied index.
    pub applied: Option<RaftIndex>,
    /// Entries behind the leader.
    pub lag: Option<u64>,
    /// Revision.
    pub revision: Option<Revision>,
}

/// The samples of one member, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
}

/// How far the fine ring reaches back.
pub const FINE_SPAN: Duration = Duration::from_secs(15 * 60);
/// The fine ring takes no two samples closer than this.
const FINE_STEP: Duration = Duration::from_millis(900);
/// How far the coarse ring reaches back.
pub const COARSE_SPAN: Duration = Duration::from_secs(24 * 3600);
/// A sample that is older than this at the time of a view is none of that moment's.
const STANDS: Duration = Duration::from_secs(5);
/// How far back changes of the leader are counted, as in the etcd mixin.
pub const LEADERS_SPAN: Duration = Duration::from_secs(15 * 60);
const COARSE_STEP: Duration = Duration::from_secs(60);

impl Ring {
    /// The last quarter of an hour.
    #[must_use]
    pub const fn fine(&self) -> &VecDeque<Sample> {
        &self.fine
    }

    /// The last day.
    #[must_use]
    pub const fn coarse(&self) -> &VecDeque<Sample> {
        &self.coarse
    }

    fn push(&mut self, sample: Sample) {
        push_into(&mut self.fine, sample, FINE_STEP, FINE_SPAN);
        push_into(&mut self.coarse, sample, COARSE_STEP, COARSE_SPAN);
    }

    /// Growth per second of what `figure` picks over the last `window`: the slope of the line that fits all its samples
    /// best, so that neither a single batch nor the last two points decide. None with less than a third of the window
    /// known.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // rates for display and forecasts
    pub fn rate(&self, window: Duration, figure: impl Fn(&Sample) -> Option<i128>) -> Option<f64> {
        let (newest, last) = self.fine.iter().rev().find_map(|s| Some((s.at, figure(s)?)))?;
        let points: Vec<(f64, f64)> = self
            .fine
            .iter()
            .filter(|s| apart(s.at, newest) <= window)
            .filter_map(|s| Some((s.at.duration_since(newest).as_secs_f64(), (figure(s)? - last) as f64)))
            .collect();
        let span = Duration::try_from_secs_f64(-points.first()?.0).ok()?;
        if span.is_zero() || span < window / 3 {
            return None;
        }
        let n = points.len() as f64;
        let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
        let (covariance, variance) = points
            .iter()
            .fold((0.0, 0.0), |(c, v), (x, y)| (c + (x - mean_x) * (y - mean_y), v + (x - mean_x).powi(2)));
        (variance > 0.0).then(|| covariance / variance)
    }

    /// The round trip to show: the median of the last samples, which one slow answer does not move.
    #[must_use]
    pub fn ping(&self) -> Option<Duration> {
        let mut last: Vec<_> = self.fine.iter().rev().take(9).filter_map(|s| s.latency).collect();
        last.sort_unstable();
        last.get(last.len() / 2).copied()
    }
}

/// Entries committed per second in each of `columns` steps up to `now`, oldest first; none where nothing is known.
#[must_use]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // steps of a chart
pub fn commit_rates(ring: &Ring, now: Timestamp, step: Duration, columns: usize) -> Vec<Option<f64>> {
    let mut rates = vec![None; columns];
    let ago = |at: Timestamp| now.duration_since(at).as_secs_f64() / step.as_secs_f64();
    for (a, b) in ring.fine.iter().zip(ring.fine.iter().skip(1)) {
        let (Some(from), Some(to), span) = (a.raft_index, b.raft_index, apart(a.at, b.at)) else { continue };
        if span.is_zero() || a.at >= now || ago(b.at) >= columns as f64 {
            continue;
        }
        let rate = from.behind(to) as f64 / span.as_secs_f64();
        // Every step that ends between the two samples had this rate on the average.
        let newest = ago(b.at).max(0.0) as usize;
        let oldest = ((ago(a.at).ceil() as usize).max(1) - 1).clamp(newest, columns - 1);
        for back in newest..=oldest {
            rates[columns - 1 - back] = Some(rate);
        }
    }
    rates
}

fn apart(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

fn push_into(ring: &mut VecDeque<Sample>, sample: Sample, step: Duration, span: Duration) {
    if let Some(last) = ring.back() {
        if sample.at < last.at {
            // The clock jumped back: what was sampled in its future says nothing about now.
            ring.clear();
        } else if apart(last.at, sample.at) < step {
            return;
        }
    }
    ring.push_back(sample);
    while ring.front().is_some_and(|s| apart(s.at, sample.at) > span) {
        ring.pop_front();
    }
}

/// The rings of all members.
#[derive(Clone, Debug, Default)]
pub struct History {
    rings: BTreeMap<MemberId, Ring>,
    scrapes: BTreeMap<MemberId, Scrapes>,
    /// When the first view came.
    began: Option<Timestamp>,
    latest: Option<Timestamp>,
    leader: Option<MemberId>,
    /// When another leader was seen than before, within [`LEADERS_SPAN`].
    leader_changes: VecDeque<Timestamp>,
}

impl History {
    /// Takes the figures of every member that answers. What a silent member said last is not a new sample.
    pub fn push(&mut self, view: &ClusterView) {
        self.latest = Some(view.at);
        self.began.get_or_insert(view.at);
        if let Some(leader) = view.leader
            && self.leader.replace(leader).is_some_and(|before| before != leader)
        {
            self.leader_changes.push_back(view.at);
        }
        // Those of a future that a clock was set back from are none.
        self.leader_changes.retain(|t| *t <= view.at);
        while self.leader_changes.front().is_some_and(|t| apart(*t, view.at) > LEADERS_SPAN) {
            self.leader_changes.pop_front();
        }
        for m in &view.members {
            if let (Some(id), Some(sample), Some(at)) = (m.id, &m.metrics, m.metrics_at) {
                let serves = |peer| view.member(peer).is_some_and(|p| p.state.answers());
                self.scrapes.entry(id).or_default().push(at, sample, serves);
            }
            let (Some(id), Some(status)) = (m.id, &m.status) else { continue };
            if !m.state.answers() && m.state != MemberState::Defragmenting {
                continue;
            }
            self.rings.entry(id).or_default().push(Sample {
                at: m.status_at.unwrap_or(view.at),
                db_size: status.db_size,
                in_use: status.db_size_in_use,
                latency: m.latency,
                raft_index: Some(status.raft_index),
                applied: Some(status.raft_applied_index),
                lag: m.lag,
                revision: Some(status.revision),
            });
        }
        // A removed member's history goes with it, or a cluster with churn grows without bound.
        self.rings.retain(|id, _| view.member(*id).is_some());
        self.scrapes.retain(|id, _| view.member(*id).is_some());
    }

    /// The samples of one member.
    #[must_use]
    pub fn ring(&self, id: MemberId) -> Option<&Ring> {
        self.rings.get(&id)
    }

    /// The scrapes of one member.
    #[must_use]
    pub fn scrapes(&self, id: MemberId) -> Option<&Scrapes> {
        self.scrapes.get(&id)
    }

    /// What the scrapes of a member tell of the time before the newest view; none while that is not known.
    #[must_use]
    pub fn window(&self, id: MemberId, span: Duration) -> Option<Window<'_>> {
        self.scrapes.get(&id)?.over(self.latest?, span)
    }

    /// The log's fsync of a member within `span`.
    #[must_use]
    pub fn fsync(&self, id: MemberId, span: Duration) -> Option<Spread> {
        self.window(id, span)?.spread(|s| s.wal_fsync.as_ref())
    }

    /// The backend's commit of a member within `span`.
    #[must_use]
    pub fn commit(&self, id: MemberId, span: Duration) -> Option<Spread> {
        self.window(id, span)?.spread(|s| s.backend_commit.as_ref())
    }

    /// The round trip from a member to a peer. It is observed twice a minute, so less than the mixin's window says little.
    #[must_use]
    pub fn rtt(&self, id: MemberId, to: MemberId) -> Option<Spread> {
        self.window(id, MIXIN_WINDOW)?.spread(|s| s.rtt_to(to))
    }

    /// Whether a member came back, or was started, within `span`: what its peers measured before is not of now.
    #[must_use]
    pub fn came_back(&self, m: &MemberView, span: Duration) -> bool {
        let (Some(began), Some(latest)) = (self.began, self.latest) else { return false };
        // From the start on everybody is in its state since then: that is no coming back.
        let changed = apart(began, m.since) > Duration::from_secs(10) && apart(m.since, latest) < span;
        let started = m.metrics.as_ref().and_then(|x| x.started_at);
        changed || started.is_some_and(|at| apart(began, at) > Duration::ZERO && apart(at, latest) < span)
    }

    /// For how long there have been views.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.began.zip(self.latest).map_or(Duration::ZERO, |(a, b)| apart(a, b))
    }

    /// How long ago the cluster was at this revision, at least, as far as was seen; and whether it is known exactly.
    #[must_use]
    pub fn age_of(&self, revision: Revision) -> Option<(Duration, bool)> {
        let latest = self.latest?;
        let mut oldest: Option<(Duration, bool)> = None;
        for ring in self.rings.values() {
            let samples = || ring.coarse.iter().chain(&ring.fine).filter(|s| s.revision.is_some());
            // Written after the last sample that had not yet reached it, and before the next one.
            let not_yet = samples().filter(|s| s.revision < Some(revision)).map(|s| s.at).max();
            let seen = not_yet.or_else(|| samples().map(|s| s.at).min());
            if let Some(at) = seen {
                let age = apart(at, latest);
                oldest = oldest.filter(|(known, _)| *known >= age).or(Some((age, not_yet.is_some())));
            }
        }
        oldest
    }

    /// Changes per second over the last minute, from the member that knows the highest revision of those that
    /// answer now.
    #[must_use]
    pub fn revision_rate(&self) -> Option<f64> {
        let latest = self.latest?;
        let answers = |r: &&Ring| r.fine.back().is_some_and(|s| apart(s.at, latest) <= STANDS);
        self.rings
            .values()
            .filter(answers)
            .max_by_key(|r| r.fine.back().and_then(|s| s.revision))
            .and_then(|r| r.rate(Duration::from_secs(60), |s| s.revision.map(|r| i128::from(r.0))))
    }

    /// How often another leader was seen within [`LEADERS_SPAN`].
    #[must_use]
    pub fn leader_changes(&self) -> usize {
        self.leader_changes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{healthy, noon, with_state};

    /// One view a second, the revision growing by ten each.
    fn seconds(history: &mut History, from: i64, count: i64) {
        for s in from..from + count {
            let at = noon().checked_add(jiff::SignedDuration::from_secs(s)).unwrap();
            let mut view = healthy(1);
            view.at = at;
            view.members[0].status_at = Some(at);
            if let Some(status) = &mut view.members[0].status {
                status.revision = Revision(10 * s);
            }
            history.push(&view);
        }
    }

    fn ring(history: &History) -> &Ring {
        history.rings.values().next().unwrap()
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_by_the_second_and_a_day_by_the_minute() {
        let mut history = History::default();
        seconds(&mut history, 0, 2_000);
        assert_eq!(ring(&history).fine().len(), 901);
        assert_eq!(ring(&history).coarse().len(), 34);
    }

    #[test]
    fn commit_rates_stand_at_their_time() {
        let ring = |samples: &[(i64, u64)]| {
            let sample = |(second, index): &(i64, u64)| Sample {
                at: noon().checked_add(jiff::SignedDuration::from_secs(*second)).unwrap(),
                db_size: None,
                in_use: None,
                latency: None,
                raft_index: Some(RaftIndex(*index)),
                applied: None,
                lag: None,
                revision: None,
            };
            Ring { fine: samples.iter().map(sample).collect(), coarse: VecDeque::new() }
        };
        let now = noon().checked_add(jiff::SignedDuration::from_secs(10)).unwrap();
        let step = Duration::from_secs(2);
        // Ten entries a second until second 4, then silence.
        let rates = commit_rates(&ring(&[(0, 0), (2, 20), (4, 40)]), now, step, 5);
        assert_eq!(rates, [Some(10.0), Some(10.0), None, None, None]);
        // Polled once in six seconds: the average fills the steps between.
        let rates = commit_rates(&ring(&[(3, 0), (9, 60)]), now, step, 5);
        assert_eq!(rates, [None, Some(10.0), Some(10.0), Some(10.0), Some(10.0)]);
    }

    #[test]
    fn a_rate_needs_a_third_of_its_window() {
        let mut history = History::default();
        seconds(&mut history, 0, 20);
        assert_eq!(history.revision_rate(), None);
        seconds(&mut history, 20, 1);
        assert_eq!(history.revision_rate(), Some(10.0));
    }

    #[test]
    fn a_member_that_fell_silent_gives_no_rate() {
        let mut history = History::default();
        seconds(&mut history, 0, 30);
        assert_eq!(history.revision_rate(), Some(10.0));
        let mut view = with_state(healthy(1), 0, MemberState::Hung, "accepts TCP");
        view.at = noon().checked_add(jiff::SignedDuration::from_secs(40)).unwrap();
        history.push(&view);
        assert_eq!(history.revision_rate(), None);
    }

    #[test]
    fn a_clock_that_jumps_back_starts_anew() {
        let mut history = History::default();
        seconds(&mut history, 100, 50);
        seconds(&mut history, 0, 3);
        assert_eq!(ring(&history).fine().len(), 3);
        assert!(
            ring(&history).fine().iter().zip(ring(&history).fine().iter().skip(1)).all(|(a, b)| a.at < b.at)
        );
    }

    #[test]
    fn a_silent_member_gives_no_samples_and_a_removed_one_is_forgotten() {
        let mut history = History::default();
        seconds(&mut history, 0, 3);
        let mut view = with_state(healthy(1), 0, MemberState::Hung, "accepts TCP");
        view.at = noon().checked_add(jiff::SignedDuration::from_secs(9)).unwrap();
        history.push(&view);
        assert_eq!(ring(&history).fine().len(), 3);
        history.push(&healthy(0));
        assert!(history.rings.is_empty());
    }
}
