//! 0: every context of the config file, a row each, worst first; why, below each that ails.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::nothing_shown;
use crate::app::State;
use crate::app::fleet::Fleet;
use crate::model::VerdictKind;
use crate::model::fleet::{Row, Standing, Told, count_words};
use crate::model::units::{age, grouped, percent};
use crate::ui::canvas::{Canvas, below, fit_middle, pad, row, width, wrap};
use crate::ui::widgets::bar::{self, Parts};
use crate::ui::widgets::header;

/// Rows of its header: how many clusters do how, and where the contexts come from.
pub(in crate::ui) const HEADER: u16 = 2;
/// The marker of the selected row, and the space after it.
const LEAD: u16 = 3;
/// Columns that a name gets, at most.
const NAME: u16 = 40;
/// Rows that a reason gets; the cluster's own dashboard has all of it.
const REASON: usize = 2;

/// A column: its head, how wide it is, which way it leans, and what stands in it.
struct Column {
    head: &'static str,
    width: fn(&[Row]) -> u16,
    right: bool,
    cell: fn(&State, &Canvas<'_>, &Row) -> (String, Style),
    /// Columns with a higher number go first when there is no room.
    rank: u8,
}

const BAR: &str = "FILE";

const COLUMNS: &[Column] = &[
    Column { head: "VERDICT", width: verdict_width, right: false, cell: verdict, rank: 0 },
    Column { head: "CONTEXT", width: name_width, right: false, cell: name, rank: 0 },
    Column { head: "SERVE", width: |_| 5, right: true, cell: serving, rank: 1 },
    Column { head: "LOSE", width: |_| 4, right: true, cell: can_lose, rank: 2 },
    Column { head: "ANSWER", width: |_| 8, right: true, cell: answer, rank: 3 },
    Column { head: "LEADER", width: leader_width, right: false, cell: leader, rank: 6 },
    Column { head: "DB SIZE", width: |_| 8, right: true, cell: db, rank: 5 },
    Column {
        head: BAR,
        width: |_| 10,
        right: false,
        cell: |_, canvas, _| (String::new(), canvas.theme.text),
        rank: 8,
    },
    Column { head: "QUOTA", width: |_| 5, right: true, cell: quota_share, rank: 4 },
    Column { head: "VERSION", width: versions_width, right: false, cell: versions, rank: 7 },
    Column { head: "REV/S", width: |_| 6, right: true, cell: rate, rank: 9 },
    Column { head: "REVISION", width: |_| 13, right: true, cell: revision, rank: 10 },
];

pub(in crate::ui) fn header(state: &State, fleet: &Fleet, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let first = row(area, 0);
    let room = header::right_end(state, canvas, first);
    let summary = fleet.summary();
    let mut x = canvas.text(room, 0, " etcdtop ", theme.dim);
    x = canvas.text(room, x, &summary.total_words(), theme.strong);
    let mut line = room;
    for (i, (standing, n)) in summary.counts.iter().enumerate() {
        let words = count_words(*standing, *n);
        x = canvas.text(line, x, if i == 0 { ": " } else { "," }, theme.dim);
        // What has no room goes on below: how many there are of each matters more than where they come from.
        if line == room && x + width(&words) + 2 > room.width {
            (line, x) = (row(area, 1), 0);
        }
        x = canvas.text(line, if i == 0 { x } else { x + 1 }, &words, style(canvas, *standing));
    }
    if line != room {
        return;
    }
    let every = if state.interval.as_millis() < 1_000 {
        format!("{} ms", state.interval.as_millis())
    } else {
        age(state.interval)
    };
    let dot = canvas.glyphs.dot;
    let facts =
        format!("every {every} {dot} from Status alone, no /metrics {dot} contexts of {}", fleet.file);
    canvas.text(row(area, 1), 1, &facts, theme.dim);
}

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(fleet) = &state.fleet else { return };
    let theme = canvas.theme;
    let shown = fleet.shown(state.filter.input.value());
    let selected = fleet.selected(&shown);
    let columns = choose(fleet.rows(), area.width);
    let reasons: Vec<_> = shown.iter().map(|r| reason(r, area.width)).collect();
    let (first, fit) = visible(&reasons, selected.unwrap_or(0), area.height.saturating_sub(2));
    let all = fleet.rows().len();
    let title = match (shown.len() == all, fit == shown.len()) {
        (true, true) => "Clusters, worst first".to_owned(),
        (false, true) => format!("Clusters, worst first ({} of {all} match)", shown.len()),
        (_, false) => {
            format!("Clusters, worst first ({} to {} of {})", first + 1, first + fit, shown.len())
        }
    };
    let inner = canvas.section(area, &title);
    if shown.is_empty() {
        canvas.text(inner, 1, nothing_shown(state, "no context yet"), theme.dim);
        return;
    }
    let head = row(inner, 0);
    let mut x = LEAD;
    for (column, w) in &columns {
        canvas.text(head, x, &pad(column.head, *w, column.right, canvas.glyphs.ellipsis), theme.dim);
        x += w + 1;
    }
    let body = below(inner, 1);
    let mut y = 0;
    for i in first..first + fit {
        let (line, r) = (row(body, y), shown[i]);
        let mut x = LEAD;
        for (column, w) in &columns {
            if column.head == BAR {
                if let Some(parts) = r.told.as_ref().ok().and_then(parts) {
                    bar::draw(canvas, Rect { x: line.x + x, width: *w, ..line }, parts);
                }
            } else {
                let (text, style) = (column.cell)(state, canvas, r);
                canvas.text(line, x, &pad(&text, *w, column.right, canvas.glyphs.ellipsis), style);
            }
            x += w + 1;
        }
        if selected == Some(i) {
            canvas.text(line, 1, canvas.glyphs.cursor, theme.key);
            canvas.shade(line, theme.selected);
        }
        y += 1;
        for (n, text) in reasons[i].iter().enumerate() {
            let lead = if n == 0 { canvas.glyphs.branch } else { " " };
            let x = canvas.text(row(body, y), LEAD, lead, theme.dim);
            canvas.text(row(body, y), x + 1, text, style(canvas, r.standing()));
            y += 1;
        }
    }
}

/// The reason in lines; what is longer is cut at the end of the last one.
fn reason(r: &Row, columns: u16) -> Vec<String> {
    if r.reason().is_empty() {
        return Vec::new();
    }
    let mut lines = wrap(r.reason(), columns.saturating_sub(LEAD + 3));
    if lines.len() > REASON {
        let rest = lines.split_off(REASON - 1).join(" ");
        lines.push(rest);
    }
    lines
}

/// The first row that is shown and how many are, so that the selected one is whole among them.
fn visible(reasons: &[Vec<String>], selected: usize, height: u16) -> (usize, usize) {
    let height = usize::from(height);
    let cost = |i: usize| 1 + reasons.get(i).map_or(0, Vec::len);
    let (mut first, mut used) = (selected, cost(selected));
    while first > 0 && used + cost(first - 1) <= height {
        first -= 1;
        used += cost(first);
    }
    let (mut end, mut used) = (first, 0);
    while end < reasons.len() && used < height {
        used += cost(end);
        end += 1;
    }
    (first, end - first)
}

/// As many columns as fit, each with its width; the bar takes what is left.
fn choose(rows: &[Row], room: u16) -> Vec<(&'static Column, u16)> {
    let mut chosen: Vec<_> = COLUMNS.iter().map(|c| (c, (c.width)(rows))).collect();
    let needed = |chosen: &[(&Column, u16)]| LEAD + chosen.iter().map(|(_, w)| w + 1).sum::<u16>();
    while needed(&chosen) > room + 1 && chosen.len() > 2 {
        let Some(worst) = chosen.iter().enumerate().max_by_key(|(_, (c, _))| c.rank).map(|(i, _)| i) else {
            break;
        };
        chosen.remove(worst);
    }
    let left = (room + 1).saturating_sub(needed(&chosen));
    if let Some((_, w)) = chosen.iter_mut().find(|(c, _)| c.head == BAR) {
        *w = (*w + left).min(30);
    }
    chosen
}

fn widest(rows: &[Row], text: impl Fn(&Row) -> u16, least: u16, most: u16) -> u16 {
    rows.iter().map(text).max().unwrap_or(least).clamp(least, most)
}

fn verdict_width(rows: &[Row]) -> u16 {
    widest(rows, |r| width(r.headline()) + 2, 9, 21)
}

fn name_width(rows: &[Row]) -> u16 {
    widest(rows, |r| width(&r.context), 7, NAME)
}

fn leader_width(rows: &[Row]) -> u16 {
    widest(rows, |r| r.told.as_ref().ok().and_then(|t| t.leader.as_ref()).map_or(0, |l| width(l)), 6, 16)
}

fn versions_width(rows: &[Row]) -> u16 {
    widest(rows, |r| r.told.as_ref().map_or(0, |t| width(&t.versions)), 7, 14)
}

const fn style(canvas: &Canvas<'_>, standing: Standing) -> Style {
    match standing {
        Standing::Judged(kind) => canvas.theme.verdict(kind),
        Standing::NotAsked => canvas.theme.warning,
    }
}

/// What fills the bar; nothing where no quota is known, for then there is no whole.
fn parts(told: &Told) -> Option<Parts> {
    let size = told.db?;
    Some(Parts { in_use: told.in_use.map(|b| b.min(size)), size, whole: told.quota?.max(size) })
}

fn verdict(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    let glyph = match r.standing() {
        Standing::Judged(kind) => canvas.glyphs.verdict(kind),
        Standing::NotAsked => canvas.glyphs.warning,
    };
    (format!("{glyph} {}", r.headline()), style(canvas, r.standing()))
}

fn name(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    (fit_middle(&r.context, NAME, canvas.glyphs.ellipsis), canvas.theme.strong)
}

/// A figure; of a cluster that gives no answer it is old: grey.
fn cell(canvas: &Canvas<'_>, r: &Row, text: impl Fn(&Told) -> Option<String>) -> (String, Style) {
    let told = r.told.as_ref().ok();
    match told.and_then(text) {
        None => (canvas.glyphs.dash.to_owned(), canvas.theme.dim),
        Some(text) if told.is_some_and(|t| t.verdict.kind == VerdictKind::Unreachable) => {
            (text, canvas.theme.dim)
        }
        Some(text) => (text, canvas.theme.text),
    }
}

fn serving(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    let (text, style) = cell(canvas, r, |t| Some(format!("{}/{}", t.serving, t.members?)));
    let whole = r.told.as_ref().is_ok_and(|t| t.members.is_none_or(|n| t.serving == n));
    (text, if whole { style } else { canvas.theme.warning })
}

fn can_lose(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    let (text, style) = cell(canvas, r, |t| Some(t.can_lose?.to_string()));
    // A cluster of one never could.
    let none_left = r.told.as_ref().is_ok_and(|t| t.can_lose == Some(0) && t.members != Some(1));
    (text, if none_left { canvas.theme.warning } else { style })
}

/// How old the answer is; seconds are counted only when it should have come.
fn answer(state: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    let told = r.told.as_ref().ok().filter(|t| t.answered.is_some());
    match told.map(|t| t.late(state.now)) {
        None => (canvas.glyphs.dash.to_owned(), canvas.theme.dim),
        Some(Some(late)) => (age(late), canvas.theme.warning),
        Some(None) => ("now".into(), canvas.theme.dim),
    }
}

fn leader(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    cell(canvas, r, |t| t.leader.as_deref().map(|name| fit_middle(name, 16, canvas.glyphs.ellipsis)))
}

fn db(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    cell(canvas, r, |t| Some(t.db?.to_string()))
}

fn quota_share(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    let share = r.told.as_ref().ok().and_then(|t| Some(t.db?.share_of(t.quota?)));
    let (text, style) = cell(canvas, r, |_| share.map(percent));
    match share {
        Some(share) if share > 0.95 => (text, canvas.theme.bad),
        Some(share) if share > 0.80 => (text, canvas.theme.warning),
        _ => (text, style),
    }
}

fn versions(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    cell(canvas, r, |t| Some(t.versions.clone()).filter(|v| !v.is_empty()))
}

fn rate(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    // Of one that takes no writes the rate of a moment ago says nothing.
    let takes = |t: &&Told| t.verdict.kind.takes_writes();
    cell(canvas, r, |t| {
        let rate = Some(t).filter(takes)?.rate?;
        Some(if rate < 0.5 { "0".into() } else { header::rounded(rate) })
    })
}

fn revision(_: &State, canvas: &Canvas<'_>, r: &Row) -> (String, Style) {
    cell(canvas, r, |t| Some(grouped(u64::try_from(t.revision?.0).unwrap_or_default())))
}
