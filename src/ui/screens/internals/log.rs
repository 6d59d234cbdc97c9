//! The log as a race: how far each member has committed and applied, as tracks on one scale.

use std::time::Duration;

use ratatui::layout::Rect;

use super::{lead, member, old};
use crate::app::State;
use crate::model::units::grouped;
use crate::model::{MemberView, RaftIndex};
use crate::ui::canvas::{Canvas, below, pad, row, width};
use crate::ui::widgets::header::rounded;

/// Columns of the figures, the most important first; what has no room is left out.
const COLUMNS: [(&str, u16); 4] = [("LAG", 7), ("/S", 6), ("APPLIED", 12), ("COMMITTED", 12)];
/// A track of less says nothing.
const LEAST_TRACK: u16 = 12;
/// The rate of a member's entries is that of so long.
const RATE: Duration = Duration::from_secs(60);
/// Entries that are on screen at least.
const LEAST_WINDOW: u64 = 100;

/// The piece of the log that is on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    first: u64,
    entries: u64,
}

impl Window {
    /// Around the furthest index. It stands still while the members run through its second half, and moves on by a half:
    /// so the race is seen, and who falls behind stays in sight.
    fn around(head: u64, behind: u64, per_second: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // entries a second are not negative
        let run = (per_second.clamp(0.0, 1e12) * 20.0) as u64;
        let entries = round_up((behind.saturating_mul(5) / 2).max(run).max(LEAST_WINDOW));
        let half = entries / 2;
        let first = (head / half).saturating_sub(1).saturating_mul(half);
        Self { first, entries }
    }

    /// Cells up to an index, of so many.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a line
    fn cells(self, index: RaftIndex, columns: u16) -> u16 {
        let share = index.0.saturating_sub(self.first) as f64 / self.entries as f64;
        let cells = (share.clamp(0.0, 1.0) * f64::from(columns)).round() as u16;
        // Whoever stands inside has a cell, and it is full at the very end only.
        cells.clamp(u16::from(index.0 > self.first), columns)
    }
}

/// 1, 2 or 5 with zeros behind, at least so many: a scale that changes seldom and is read easily.
fn round_up(n: u64) -> u64 {
    let mut ten = 1_u64;
    loop {
        for step in [1, 2, 5] {
            match ten.checked_mul(step) {
                Some(scale) if scale >= n => return scale,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        ten = ten.saturating_mul(10);
    }
}

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, part: &[usize], share: &str) {
    let title = format!("The Raft log on each member{share}");
    let inner = canvas.section(area, &title);
    let members = &state.view.members;
    let indices = || members.iter().filter_map(|m| m.status.as_ref());
    let Some(head) = state.view.leader_index().or_else(|| indices().map(|s| s.raft_index).max()) else {
        canvas.text(inner, 1, "no member told its index yet", canvas.theme.dim);
        return;
    };
    let rate = |m: &MemberView| {
        m.id.and_then(|id| state.history.ring(id)?.rate(RATE, |s| s.raft_index.map(|i| i128::from(i.0))))
            .filter(|_| m.state.answers())
    };
    let fastest = members.iter().filter_map(rate).fold(0.0, f64::max);
    let behind = indices().map(|s| s.raft_applied_index.behind(head)).max().unwrap_or(0);
    let window = Window::around(head.0, behind, fastest);

    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let lead = lead(state);
    let mut columns = COLUMNS.as_slice();
    let taken = |columns: &[(&str, u16)]| columns.iter().map(|(_, w)| w + 1).sum::<u16>() + 1;
    while columns.len() > 1 && inner.width < lead + LEAST_TRACK + taken(columns) {
        columns = &columns[..columns.len() - 1];
    }
    let track = inner.width.saturating_sub(lead + taken(columns));
    let head_line = row(inner, 0);
    let scale = format!(
        "{} to {}",
        grouped(window.first.saturating_add(1)),
        grouped(window.first.saturating_add(window.entries))
    );
    let legend = format!(
        "{scale}: applied {} committed {} missing {}",
        glyphs.in_use, glyphs.reclaimable, glyphs.free
    );
    let short = Rect { width: lead + track, ..head_line };
    let legend = if width(&legend) <= track { legend } else { scale };
    canvas.text(short, lead, &legend, theme.dim);
    let mut x = lead + track + 1;
    for (title, w) in columns.iter().rev() {
        canvas.text(head_line, x, &pad(title, *w, true, glyphs.ellipsis), theme.dim);
        x += w + 1;
    }
    let body = below(inner, 1);
    for (y, index) in (0_u16..).zip(part) {
        let m = &members[*index];
        let line = row(body, y);
        member(state, canvas, line, *index);
        let Some(status) = &m.status else {
            canvas.text(line, lead, m.state.shown(), theme.state(m.state));
            continue;
        };
        let at = Rect { x: line.x + lead, width: track, ..line };
        let indices = [status.raft_applied_index, status.raft_index, head];
        run(canvas, at, window, indices, m.state.answers());
        let lag = m.lag.unwrap_or_else(|| status.raft_applied_index.behind(head));
        let figure = |title: &str| match title {
            "LAG" => grouped(lag),
            "/S" => rate(m).map_or_else(
                || glyphs.dash.to_owned(),
                |r| if r < 0.05 { "0".to_owned() } else { rounded(r) },
            ),
            "APPLIED" => grouped(status.raft_applied_index.0),
            _ => grouped(status.raft_index.0),
        };
        let old = old(state, m);
        let mut x = lead + track + 1;
        for (title, w) in columns.iter().rev() {
            let style = match *title {
                "LAG" if lag > 0 && old.is_some() => theme.state(m.state),
                _ if old.is_some() => theme.dim,
                _ => theme.text,
            };
            canvas.text(line, x, &pad(&figure(title), *w, true, glyphs.ellipsis), style);
            x += w + 1;
        }
        // Behind the track of who stands still; over the end of what it misses only where there is no room behind.
        if let Some(old) = old {
            let used = window.cells(head, track);
            let room = track.saturating_sub(used + 2);
            let words = [old.as_str(), m.state.shown()];
            let behind = words.into_iter().find(|t| width(t) <= room).map(|text| (text, used + 1));
            let over = || {
                let from = track.saturating_sub(width(words[1]) + 1);
                (window.cells(status.raft_index, track) < from).then_some((words[1], from))
            };
            if let Some((text, at)) = behind.or_else(over) {
                canvas.text(line, lead + at, &format!(" {text}"), theme.state(m.state));
            }
        }
    }
}

/// One member's track: applied, committed but not yet applied, and what others have and it has not.
fn run(canvas: &mut Canvas<'_>, area: Rect, window: Window, indices: [RaftIndex; 3], answers: bool) {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let [applied, committed, head] = indices.map(|i| window.cells(i, area.width));
    let committed = committed.max(applied);
    let cells = |glyph: &str, n: u16| glyph.repeat(usize::from(n));
    canvas.spans(
        area,
        0,
        &[
            (&cells(glyphs.in_use, applied), if answers { theme.in_use } else { theme.dim }),
            (&cells(glyphs.reclaimable, committed - applied), theme.reclaimable),
            (&cells(glyphs.free, head.saturating_sub(committed)), theme.quota),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stands_still_while_the_members_run() {
        let window = Window::around(17_793, 0, 1.0);
        assert_eq!(window, Window { first: 17_700, entries: 100 });
        assert_eq!(Window::around(17_799, 0, 1.0), window);
        assert_eq!(Window::around(17_800, 0, 1.0), Window { first: 17_750, entries: 100 });
        // Somebody is far behind: the scale grows until both are on it.
        let far = Window::around(17_793, 5_000, 1.0);
        assert_eq!(far, Window { first: 0, entries: 20_000 });
        assert_eq!(Window::around(3, 0, 0.0), Window { first: 0, entries: 100 });
    }

    #[test]
    fn everybody_that_is_not_hopelessly_behind_is_on_the_track() {
        for head in [0, 1, 99, 100, 17_793, u64::MAX] {
            for behind in [0, 1, 40, 5_000, 1_000_000] {
                let window = Window::around(head, behind, 30.0);
                let last = RaftIndex(head.saturating_sub(behind));
                assert!(last.0 == 0 || last.0 >= window.first, "{head} {behind} {window:?}");
                let ahead = window.cells(RaftIndex(head), 60);
                assert!(ahead <= 60 && window.cells(last, 60) <= ahead, "{head} {behind} {window:?}");
            }
        }
        assert_eq!([0, 1, 3, 100, 101, u64::MAX].map(round_up), [1, 1, 5, 100, 200, u64::MAX]);
    }
}
