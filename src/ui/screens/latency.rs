//! 8: fsync, commit and round trips of every member and pair, over time; the slowest methods.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::nothing_shown;
use crate::app::{ActionId, State};
use crate::model::MemberView;
use crate::model::metrics::{Method, Spread};
use crate::model::units::{age, latency};
use crate::poll::scrapes::MIXIN_WINDOW;
use crate::ui::canvas::{Canvas, below, pad, row};
use crate::ui::widgets::heat::{self, Measure, NOW, STEP};
use crate::ui::widgets::rows;

/// One line of the table: what it measures of which row; none: a method.
struct Line<'a> {
    member: usize,
    first: bool,
    what: String,
    measure: Option<Measure>,
    /// p99 now, p50 and p99 of the mixin's window.
    figures: [Option<(String, Style)>; 3],
    m: &'a MemberView,
}

/// Columns of a figure.
const FIGURE: u16 = 8;
const WHAT: u16 = 16;

fn lines<'a>(state: &'a State, canvas: &Canvas<'_>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for index in state.rows() {
        let m = &state.view.members[index];
        let peers = state.view.members.iter().filter(|p| p.listed && p.id != m.id).filter_map(|p| p.id);
        let mut measures = vec![Measure::Fsync, Measure::Commit];
        measures.extend(peers.map(Measure::RoundTrip));
        for (i, measure) in measures.into_iter().enumerate() {
            let what = match measure {
                Measure::Fsync => "fsync".to_owned(),
                Measure::Commit => "commit".to_owned(),
                Measure::RoundTrip(to) => format!("to {}", state.view.name_of(to)),
            };
            let now = measure.spread(state, m, NOW).map(|s| s.p99);
            let whole = measure.spread(state, m, MIXIN_WINDOW);
            let shown = |p| (latency(p), measure.style(canvas.theme, p));
            // A round trip is observed too seldom for a figure of its own for the last minute.
            let now = now.filter(|_| !matches!(measure, Measure::RoundTrip(_)));
            let figures = [
                now.map(shown),
                whole.map(|s| (latency(s.p50), canvas.theme.text)),
                whole.map(|s| shown(s.p99)),
            ];
            lines.push(Line { member: index, first: i == 0, what, measure: Some(measure), figures, m });
        }
        lines.extend(slowest_methods(state, m).into_iter().map(|told| method_line(canvas, index, m, told)));
    }
    lines
}

/// The two methods that take longest, where the member tells (`--metrics=extensive`).
fn slowest_methods<'a>(state: &'a State, m: &MemberView) -> Vec<(&'a Method, Spread)> {
    let Some(window) = m.id.and_then(|id| state.history.window(id, MIXIN_WINDOW)) else { return Vec::new() };
    let told = window.newest().map_or(&[][..], |newest| &newest.methods);
    let mut methods: Vec<_> = told
        .iter()
        .filter(|(method, _)| !method.0.ends_with("/Defragment"))
        .filter_map(|(method, _)| Some((method, window.spread(|s| s.calls(method)?.handling.as_ref())?)))
        .collect();
    methods.sort_by_key(|(_, spread)| std::cmp::Reverse(spread.p99));
    methods.truncate(2);
    methods
}

fn method_line<'a>(
    canvas: &Canvas<'_>,
    member: usize,
    m: &'a MemberView,
    (method, spread): (&Method, Spread),
) -> Line<'a> {
    let theme = canvas.theme;
    let slow = if spread.p99.as_millis() > 150 { theme.bad } else { theme.text };
    Line {
        member,
        first: false,
        what: method.0.to_string(),
        measure: None,
        figures: [None, Some((latency(spread.p50), theme.text)), Some((latency(spread.p99), slow))],
        m,
    }
}

/// How many lines do not fit.
pub(super) fn most_scroll(state: &State, area: Rect) -> u16 {
    let per_member = |i: &usize| {
        let m = &state.view.members[*i];
        2 + state.view.members.iter().filter(|p| p.listed && p.id != m.id && p.id.is_some()).count()
            + slowest_methods(state, m).len()
    };
    let lines: usize = state.rows().iter().map(per_member).sum();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(HEAD + FOOT))
}

/// Heading and head of the table; axis of time.
const HEAD: u16 = 2;
const FOOT: u16 = 2;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if state.rows().is_empty() {
        canvas.text(area, 1, nothing_shown(state, "no member is known yet"), canvas.theme.dim);
        return;
    }
    let theme = canvas.theme;
    let ellipsis = canvas.glyphs.ellipsis;
    let inner =
        canvas.section(area, "Latency: the slowest of a hundred (p99) of the last minute, and of up to five");
    let names = rows::names_width(state, 4, 16);
    let lines = lines(state, canvas);
    let figures = names + 4 + WHAT + 1;
    let cells = figures + 3 * (FIGURE + 1) + 1;
    canvas.text(inner, 3, "MEMBER", theme.dim);
    for (i, head) in (0_u16..).zip(["1 MIN", "P50 5MIN", "P99 5MIN"]) {
        canvas.text(inner, figures + i * (FIGURE + 1), &pad(head, FIGURE, true, ellipsis), theme.dim);
    }
    let body = below(inner, 1);
    let body = Rect { height: body.height.saturating_sub(FOOT), ..body };
    let first = state.scroll.min(most_scroll(state, area));
    let selected = state.selected_row();
    for (y, (i, line)) in (0..body.height).zip(lines.iter().enumerate().skip(usize::from(first))) {
        let at = row(body, y);
        if line.first || i == usize::from(first) {
            canvas.text(at, 3, &rows::name(state, line.m, names, ellipsis), theme.strong);
            if selected == Some(line.member) {
                canvas.text(at, 1, canvas.glyphs.cursor, theme.key);
            }
        }
        let answers = line.m.state.answers();
        canvas.text(at, names + 4, &pad(&line.what, WHAT, false, ellipsis), theme.dim);
        for (column, figure) in (0_u16..).zip(&line.figures) {
            let (text, style) = match figure {
                Some((text, style)) => (text.as_str(), if answers { *style } else { theme.dim }),
                None => (canvas.glyphs.dash, theme.dim),
            };
            canvas.text(at, figures + column * (FIGURE + 1), &pad(text, FIGURE, true, ellipsis), style);
        }
        if let Some(measure) = line.measure
            && at.width > cells
        {
            let room = Rect { x: at.x + cells, width: at.width - cells - 1, ..at };
            heat::draw(state, canvas, room, line.m, measure);
        }
    }
    // The axis stands below the last row, wherever that is.
    let shown = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(first).min(body.height);
    let foot = below(inner, 1 + shown);
    axis(canvas, row(foot, 0), cells);
    let hidden = lines.len().saturating_sub(usize::from(first + body.height));
    let scroll = if hidden > 0 || first > 0 {
        format!("   {} {} scroll", state.keymap.first(ActionId::Down), state.keymap.first(ActionId::Up))
    } else {
        String::new()
    };
    if lines.iter().all(|l| l.figures.iter().all(Option::is_none)) {
        let why = "nothing measured: two scrapes of /metrics are needed (--metrics-interval 0 has none)";
        canvas.text(row(foot, 1), 3, why, theme.warning);
        return;
    }
    let legend = format!("good below 10 ms (commit 25), warning above 500 (commit 250, peers 150){scroll}");
    canvas.text(row(foot, 1), 3, &legend, theme.dim);
}

fn axis(canvas: &mut Canvas<'_>, line: Rect, cells: u16) {
    if line.width > cells + 16 {
        let span = STEP * u32::from(line.width - cells - 1);
        let at = Rect { x: line.x + cells, width: line.width - cells - 1, ..line };
        canvas.text(at, 0, &format!("{} ago", age(span)), canvas.theme.dim);
        canvas.right(at, "now", canvas.theme.dim);
    }
}
