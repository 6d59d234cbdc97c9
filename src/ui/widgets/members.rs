//! The table of members: columns by importance, as many as fit.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::bar::{self, Parts};
use super::heat::{self, Measure, NOW};
use super::{operation, rows};
use crate::app::State;
use crate::model::units::{age, grouped, latency, percent};
use crate::model::{MemberState, MemberView, Role};
use crate::ui::canvas::{Canvas, below, pad, row, width};

/// A column: its head, how wide it is, which way it leans, and what stands in it.
struct Column {
    head: &'static str,
    width: fn(&State) -> u16,
    right: bool,
    cell: fn(&State, &Canvas<'_>, &MemberView) -> (String, Style),
    /// Columns with a higher number go first when there is no room.
    rank: u8,
}

const COLUMNS: &[Column] = &[
    Column { head: "NAME", width: name_width, right: false, cell: name, rank: 0 },
    Column { head: "ROLE", width: |_| 11, right: false, cell: role, rank: 1 },
    Column { head: "STATE", width: |_| 14, right: false, cell: state_cell, rank: 0 },
    Column { head: "PING", width: |_| 7, right: true, cell: ping, rank: 4 },
    Column { head: "DB SIZE", width: |_| 8, right: true, cell: db_size, rank: 1 },
    Column { head: BAR, width: |_| 12, right: false, cell: nothing, rank: 2 },
    Column { head: "QUOTA", width: |_| 5, right: true, cell: quota_share, rank: 3 },
    Column { head: "RECLAIM", width: |_| 8, right: true, cell: reclaimable, rank: 10 },
    Column { head: "LAG", width: |_| 6, right: true, cell: lag, rank: 2 },
    Column { head: "RAFT INDEX", width: |_| 12, right: true, cell: raft_index, rank: 5 },
    Column { head: "FSYNC", width: |_| 7, right: true, cell: fsync, rank: 7 },
    Column { head: "COMMIT", width: |_| 7, right: true, cell: commit, rank: 9 },
    Column { head: "PEER RTT", width: |_| 8, right: true, cell: rtt, rank: 8 },
    Column { head: "VERSION", width: |_| 8, right: false, cell: version, rank: 6 },
    Column { head: "TERM", width: |_| 5, right: true, cell: term, rank: 13 },
    Column { head: "ENDPOINT", width: endpoint_width, right: false, cell: endpoint, rank: 11 },
    Column { head: "ID", width: |_| 16, right: false, cell: id, rank: 12 },
    Column { head: "REVISION", width: |_| 12, right: true, cell: revision, rank: 14 },
    Column { head: "MEMORY", width: |_| 8, right: true, cell: memory, rank: 15 },
    Column { head: "UP", width: |_| 10, right: true, cell: uptime, rank: 16 },
];

const BAR: &str = "FILE";
/// The marker of the selected row, and the space after it.
const LEAD: u16 = 3;

/// Rows that the table wants: head, a row each, and a line below each member that ails.
pub(in crate::ui) fn rows_wanted(state: &State) -> u16 {
    let rows = state.rows();
    let details = rows.iter().filter(|i| note(state, &state.view.members[**i]).is_some()).count();
    u16::try_from(2 + rows.len() + details).unwrap_or(u16::MAX)
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let shown = state.rows();
    let all = state.view.members.len();
    let selected = state.selected_row();
    let (first, fit) = visible(state, &shown, selected, area.height.saturating_sub(2));
    let title = match (shown.len() == all, fit.len() == shown.len()) {
        (true, true) => "Members".to_owned(),
        (false, true) => format!("Members ({} of {all} match)", shown.len()),
        (_, false) => format!("Members ({} to {} of {})", first + 1, first + fit.len(), shown.len()),
    };
    let inner = canvas.section(area, &title);
    let columns = choose(state, inner.width);
    let bar_width = stretch(state, &columns, inner.width);
    let widths: Vec<u16> =
        columns.iter().map(|c| if c.head == BAR { bar_width } else { (c.width)(state) }).collect();

    let head = row(inner, 0);
    let mut x = LEAD;
    for (column, w) in columns.iter().zip(&widths) {
        let title = if column.head == BAR { bar_title(state, *w, canvas) } else { column.head.to_owned() };
        canvas.text(head, x, &pad(&title, *w, column.right, canvas.glyphs.ellipsis), theme.dim);
        x += w + 1;
    }
    if state.view.members.is_empty() {
        canvas.text(row(inner, 1), LEAD, "no endpoint yet", theme.dim);
        return;
    }
    let whole = bar::common_whole(&state.view.members);
    let body = below(inner, 1);
    let mut y = 0;
    for index in fit {
        let m = &state.view.members[index];
        let line = row(body, y);
        if line.height == 0 {
            break;
        }
        let is_selected = selected == Some(index);
        let mut x = LEAD;
        for (column, w) in columns.iter().zip(&widths) {
            if column.head == BAR {
                if let Some(parts) = Parts::of(m, whole) {
                    bar::draw(canvas, Rect { x: line.x + x, width: *w, ..line }, parts);
                }
            } else {
                let (text, style) = (column.cell)(state, canvas, m);
                canvas.text(line, x, &pad(&text, *w, column.right, canvas.glyphs.ellipsis), style);
            }
            x += w + 1;
        }
        if is_selected {
            canvas.text(line, 1, canvas.glyphs.cursor, theme.key);
            canvas.shade(line, theme.selected);
        }
        y += 1;
        if let Some(note) = note(state, m) {
            let line = row(body, y);
            let style = match (m.state.serves(), m.alarms.is_empty()) {
                (true, true) => theme.dim,
                (true, false) => theme.bad,
                (false, _) => theme.state(m.state),
            };
            let x = canvas.text(line, LEAD, canvas.glyphs.branch, theme.dim);
            canvas.text(line, x + 1, &note, style);
            y += 1;
        }
    }
}

/// The rows to show when not all fit, around the selected one; and how many are left out before them.
fn visible(state: &State, shown: &[usize], selected: Option<usize>, height: u16) -> (usize, Vec<usize>) {
    let cost = |i: &usize| 1 + usize::from(note(state, &state.view.members[*i]).is_some());
    let height = usize::from(height);
    let mut first = 0;
    let at = shown.iter().position(|i| Some(*i) == selected).unwrap_or(0);
    while first < at && shown[first..=at].iter().map(cost).sum::<usize>() > height {
        first += 1;
    }
    let mut left = height;
    let mut fit = Vec::new();
    for i in &shown[first..] {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(cost(i));
        fit.push(*i);
    }
    (first, fit)
}

/// As many columns as fit, in the order of the table.
fn choose(state: &State, columns: u16) -> Vec<&'static Column> {
    let mut chosen: Vec<&Column> = COLUMNS.iter().collect();
    let needed = |chosen: &[&Column]| LEAD + chosen.iter().map(|c| (c.width)(state) + 1).sum::<u16>();
    while needed(&chosen) > columns + 1 && chosen.len() > 2 {
        let Some(worst) = chosen.iter().enumerate().max_by_key(|(_, c)| c.rank).map(|(i, _)| i) else {
            break;
        };
        chosen.remove(worst);
    }
    chosen
}

/// What is left over goes to the bar, up to 40 columns.
fn stretch(state: &State, chosen: &[&Column], columns: u16) -> u16 {
    let needed = LEAD + chosen.iter().map(|c| (c.width)(state) + 1).sum::<u16>();
    (12 + (columns + 1).saturating_sub(needed)).min(40)
}

/// What the bar shows; where there is no room, less of it.
fn bar_title(state: &State, columns: u16, canvas: &Canvas<'_>) -> String {
    let g = canvas.glyphs;
    let scale = if state.view.members.iter().any(|m| m.quota().is_some()) { "quota" } else { "largest" };
    let long = format!("in use {} reclaimable {} {scale} {}", g.in_use, g.reclaimable, g.free);
    let middle = format!("{}use{}free{}{scale}", g.in_use, g.reclaimable, g.free);
    [long, middle].into_iter().find(|t| width(t) <= columns).unwrap_or_else(|| format!("FILE/{scale}"))
}

/// The line below a member that ails: the alarms it raised, the reason, and how old its figures are.
pub(in crate::ui) fn note(state: &State, m: &MemberView) -> Option<String> {
    // What we do to it is the reason why it is silent.
    if let Some(done) = operation::note(state, m) {
        return Some(done);
    }
    let mut parts = Vec::new();
    if !m.alarms.is_empty() {
        let alarms: Vec<_> = m.alarms.iter().map(ToString::to_string).collect();
        parts.push(format!("raised {}", alarms.join(" and ")));
    }
    parts.extend(m.detail.as_ref().map(ToString::to_string));
    let old = m.figures_age(state.now).filter(|a| *a > Duration::from_secs(3) && !m.state.answers());
    parts.extend(old.map(|a| format!("figures {} old", age(a))));
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Names get more room as long as there is nothing else to tell than an address.
fn name_width(state: &State) -> u16 {
    let named = state.view.members.iter().any(|m| !m.name.is_empty());
    rows::names_width(state, 5, if named { 22 } else { 34 })
}

fn endpoint_width(state: &State) -> u16 {
    let text = |m: &MemberView| m.endpoint.as_ref().map_or(1, |e| width(&e.to_string()));
    state.view.members.iter().map(text).max().unwrap_or(8).clamp(8, 34)
}

fn nothing(_: &State, canvas: &Canvas<'_>, _: &MemberView) -> (String, Style) {
    (String::new(), canvas.theme.text)
}

fn name(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    (
        rows::name(state, m, name_width(state), canvas.glyphs.ellipsis),
        if m.state.serves() { canvas.theme.strong } else { figures(canvas, m) },
    )
}

fn role(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    match m.role {
        Role::Leader => (format!("{} leader", canvas.glyphs.leader), canvas.theme.accent),
        other => (format!("  {}", other.word()), figures(canvas, m)),
    }
}

fn state_cell(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    (format!("{} {}", canvas.glyphs.state(m.state), m.state.shown()), canvas.theme.state(m.state))
}

/// Figures of a member that does not answer are old: grey.
fn figures(canvas: &Canvas<'_>, m: &MemberView) -> Style {
    if m.state.answers() { canvas.theme.text } else { canvas.theme.dim }
}

fn cell(canvas: &Canvas<'_>, m: &MemberView, text: Option<String>) -> (String, Style) {
    match text {
        Some(text) => (text, figures(canvas, m)),
        None => (canvas.glyphs.dash.to_owned(), canvas.theme.dim),
    }
}

fn ping(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let (text, style) = cell(canvas, m, state.ping(m).map(latency));
    (text, if m.state == MemberState::Slow { canvas.theme.warning } else { style })
}

fn db_size(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.status.as_ref().and_then(|s| s.db_size).map(|b| b.to_string()))
}

fn reclaimable(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(
        canvas,
        m,
        m.status.as_ref().and_then(crate::model::MemberStatus::reclaimable).map(|b| b.to_string()),
    )
}

/// The file's share of the quota: what the bar beside it shows.
fn quota_share(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let share = m.status.as_ref().and_then(|s| Some(s.db_size?.share_of(m.quota()?.0)));
    let (text, style) = cell(canvas, m, share.map(percent));
    match share {
        Some(share) if share > 0.95 => (text, canvas.theme.bad),
        Some(share) if share > 0.80 => (text, canvas.theme.warning),
        _ => (text, style),
    }
}

fn lag(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let (text, style) = cell(canvas, m, m.lag.map(grouped));
    (text, if m.lag.is_some_and(|l| l > 1_000) { canvas.theme.warning } else { style })
}

fn raft_index(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.status.as_ref().map(|s| grouped(s.raft_index.0)))
}

fn term(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.status.as_ref().map(|s| s.raft_term.0.to_string()))
}

fn version(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.status.as_ref().map(|s| s.version.to_string()))
}

fn endpoint(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let (text, _) = cell(canvas, m, m.endpoint.as_ref().map(ToString::to_string));
    (text, canvas.theme.dim)
}

fn id(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let (text, _) = cell(canvas, m, m.id.map(|id| id.to_string()));
    (text, canvas.theme.dim)
}

fn revision(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.status.as_ref().map(|s| grouped(u64::try_from(s.revision.0).unwrap_or_default())))
}

/// A latency of the last minute (round trips: of five), in the colour of its thresholds.
fn measured(canvas: &Canvas<'_>, m: &MemberView, told: Option<(Measure, Duration)>) -> (String, Style) {
    let (text, style) = cell(canvas, m, told.map(|(_, p99)| latency(p99)));
    match told {
        Some((measure, p99)) if m.state.answers() && p99 > measure.thresholds()[0] => {
            (text, measure.style(canvas.theme, p99))
        }
        _ => (text, style),
    }
}

fn fsync(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    measured(canvas, m, Measure::Fsync.spread(state, m, NOW).map(|s| (Measure::Fsync, s.p99)))
}

fn commit(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    measured(canvas, m, Measure::Commit.spread(state, m, NOW).map(|s| (Measure::Commit, s.p99)))
}

/// The slowest of its peers.
fn rtt(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    measured(canvas, m, heat::slowest_peer(state, m).map(|(to, s)| (Measure::RoundTrip(to), s.p99)))
}

fn memory(_: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    cell(canvas, m, m.metrics.as_ref().and_then(|s| s.resident_memory).map(|b| b.to_string()))
}

fn uptime(state: &State, canvas: &Canvas<'_>, m: &MemberView) -> (String, Style) {
    let up = m
        .metrics
        .as_ref()
        .and_then(|s| s.started_at)
        .map(|at| Duration::try_from(state.now.duration_since(at)).unwrap_or_default());
    cell(canvas, m, up.map(age))
}
