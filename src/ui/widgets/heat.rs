//! Latencies over time as a row of cells: how high and which colour by the thresholds of their kind.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::State;
use crate::model::metrics::Spread;
use crate::model::{MemberId, MemberView};
use crate::poll::scrapes::{MIXIN_WINDOW, Point};
use crate::ui::canvas::Canvas;
use crate::ui::theme::Theme;

/// What a cell stands for: the usual pace of scrapes.
pub(in crate::ui) const STEP: Duration = Duration::from_secs(5);
/// A round trip is observed twice a minute, and seen with the scrape after that: it stands until the next one.
const RTT_STANDS: Duration = Duration::from_secs(40);
/// The window of what is "now".
pub(in crate::ui) const NOW: Duration = Duration::from_secs(60);

/// A latency that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Measure {
    /// The log's fsync.
    Fsync,
    /// The backend's commit.
    Commit,
    /// The round trip to a peer.
    RoundTrip(MemberId),
}

impl Measure {
    /// Good up to, warning above, critical above: etcd docs and mixin, as the rules of `diagnose` have them.
    pub(in crate::ui) const fn thresholds(self) -> [Duration; 3] {
        let ms = Duration::from_millis;
        match self {
            Self::Fsync => [ms(10), ms(500), ms(1_000)],
            Self::Commit => [ms(25), ms(250), Duration::MAX],
            Self::RoundTrip(_) => [ms(10), ms(150), Duration::MAX],
        }
    }

    pub(in crate::ui) const fn style(self, theme: &Theme, p99: Duration) -> Style {
        let [note, warning, critical] = self.thresholds();
        match p99.as_nanos() {
            n if n > critical.as_nanos() => theme.bad,
            n if n > warning.as_nanos() => theme.warning,
            n if n > note.as_nanos() => theme.accent,
            _ => theme.good,
        }
    }

    /// How it is spread within `span` before now; a round trip within the mixin's window.
    pub(in crate::ui) fn spread(self, state: &State, m: &MemberView, span: Duration) -> Option<Spread> {
        let id = m.id?;
        match self {
            Self::Fsync => state.history.fsync(id, span),
            Self::Commit => state.history.commit(id, span),
            Self::RoundTrip(to) => state.history.rtt(id, to),
        }
    }

    fn of(self, point: &Point) -> Option<Duration> {
        match self {
            Self::Fsync => point.fsync,
            Self::Commit => point.commit,
            Self::RoundTrip(to) => point.rtt.iter().find(|(id, _)| *id == to).map(|(_, p99)| *p99),
        }
    }

    /// How long what was measured stands, with scrapes so far apart.
    fn stands(self, pace: Duration) -> Duration {
        match self {
            Self::RoundTrip(_) => RTT_STANDS.max(pace),
            Self::Fsync | Self::Commit => STEP.max(pace),
        }
    }

    /// From a tenth of what is good (1) to the warning (8), by orders of magnitude.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to 1..=8
    fn level(self, p99: Duration) -> usize {
        let [note, warning, _] = self.thresholds();
        let lowest = note.as_secs_f64() / 10.0;
        let share = (p99.as_secs_f64() / lowest).ln() / (warning.as_secs_f64() / lowest).ln();
        (1.0 + share * 7.0).clamp(1.0, 8.0) as usize
    }
}

/// The slowest of its round trips to the peers that are shown.
pub(in crate::ui) fn slowest_peer(state: &State, m: &MemberView) -> Option<(MemberId, Spread)> {
    let others = state.view.members.iter().filter_map(|other| other.id.filter(|id| Some(*id) != m.id));
    let told = others.filter_map(|to| Some((to, Measure::RoundTrip(to).spread(state, m, MIXIN_WINDOW)?)));
    told.max_by_key(|(_, spread)| spread.p99)
}

/// Draws the cells of one measure of a member, newest at the right.
pub(in crate::ui) fn draw(
    state: &State,
    canvas: &mut Canvas<'_>,
    area: Rect,
    m: &MemberView,
    measure: Measure,
) {
    let Some(scrapes) = m.id.and_then(|id| state.history.scrapes(id)) else { return };
    // Moves on by a cell every step, not at every poll: less to repaint.
    let step = i64::try_from(STEP.as_secs()).unwrap_or(1);
    let edge = (state.now.as_second().div_euclid(step) + 1) * step;
    let edge = Timestamp::from_second(edge).unwrap_or(state.now);
    let cells = cells(
        scrapes.points().iter().filter_map(|p| Some((p.at, measure.of(p)?))),
        edge,
        measure.stands(scrapes.pace()),
        area.width,
    );
    for (x, p99) in (0..area.width).zip(cells) {
        let Some(p99) = p99 else { continue };
        let style = measure.style(canvas.theme, p99);
        canvas.text(area, x, canvas.glyphs.levels[measure.level(p99)], style);
    }
}

/// What stands in each column, oldest first: the slowest of its step.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // columns of a terminal
fn cells(
    points: impl Iterator<Item = (Timestamp, Duration)>,
    edge: Timestamp,
    stands: Duration,
    columns: u16,
) -> Vec<Option<Duration>> {
    let columns = usize::from(columns);
    let mut cells: Vec<Option<Duration>> = vec![None; columns];
    let stands = (stands.as_secs() / STEP.as_secs()).max(1) as usize;
    let mut own = vec![false; columns];
    for (at, p99) in points {
        let back = edge.duration_since(at).as_secs_f64() / STEP.as_secs_f64();
        if back < 0.0 || back >= (columns + stands) as f64 {
            continue;
        }
        let back = back as usize;
        for back in (back + 1).saturating_sub(stands)..=back {
            let Some(column) = (columns - 1).checked_sub(back) else { continue };
            // What was observed in a step counts there; what only stands on gives way to it.
            let observed = back == (edge.duration_since(at).as_secs_f64() / STEP.as_secs_f64()) as usize;
            if observed {
                cells[column] = if own[column] { cells[column].max(Some(p99)) } else { Some(p99) };
                own[column] = true;
            } else if !own[column] {
                cells[column] = Some(p99);
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_cell_holds_the_slowest_of_its_step_and_a_round_trip_stands_until_the_next() {
        let ago = |s: i64| noon().checked_sub(jiff::SignedDuration::from_secs(s)).unwrap();
        let points = [(ago(19), ms(3)), (ago(12), ms(9)), (ago(11), ms(4)), (ago(2), ms(1))];
        let row = cells(points.into_iter(), noon(), Measure::Fsync.stands(STEP), 5);
        assert_eq!(row, [None, Some(ms(3)), Some(ms(9)), None, Some(ms(1))]);
        let peer = Measure::RoundTrip(MemberId(2));
        let row = cells([(ago(48), ms(3)), (ago(18), ms(9))].into_iter(), noon(), peer.stands(STEP), 12);
        assert_eq!(row[..2], [None, None]);
        assert_eq!(row[2..8], [Some(ms(3)); 6]);
        assert_eq!(row[8..], [Some(ms(9)); 4]);
    }

    #[test]
    fn levels_rise_with_orders_of_magnitude_and_are_full_at_the_warning() {
        let levels: Vec<_> = [0, 1, 3, 10, 60, 499, 501, 60_000].map(|n| Measure::Fsync.level(ms(n))).into();
        assert!(levels.is_sorted(), "{levels:?}");
        assert_eq!((levels[0], levels[1], levels[6], levels[7]), (1, 1, 8, 8), "{levels:?}");
        assert!(levels[3] < levels[4] && levels[4] < levels[5], "{levels:?}");
    }
}
