//! 4: term, index, applied, lag, elections, proposals, round trips between peers.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::State;
use crate::model::units::{age, grouped, latency};
use crate::model::{MemberId, MemberView};
use crate::poll::history::commit_rates;
use crate::ui::canvas::{Canvas, below, pad, row, width};
use crate::ui::widgets::{chart, members, rows};

/// What a column of the line of commits stands for.
const STEP: Duration = Duration::from_secs(2);

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let shown = state.rows();
    if shown.is_empty() {
        canvas.text(area, 1, nothing_shown(state, "no member is known yet"), canvas.theme.dim);
        return;
    }
    // All three tables show the same rows: as many as fit, around the selected one.
    let notes =
        |part: &[usize]| part.iter().filter(|i| silence(state, &state.view.members[**i]).is_some()).count();
    let needed = |part: &[usize]| 3 * (part.len() + 2) + 2 + notes(part);
    let mut part = shown.as_slice();
    while part.len() > 1 && needed(part) > usize::from(area.height) {
        part = rows::around(&shown, state.selected_row(), part.len() - 1);
    }
    let height = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX);
    let log_height = height(part.len() + 2 + notes(part)).min(area.height);
    log(state, canvas, Rect { height: log_height, ..area }, part, &rows::share(&shown, part));
    let rest = below(area, log_height + 1);
    let counters_height = height(part.len() + 2).min(rest.height);
    counters(state, canvas, Rect { height: counters_height, ..rest }, part);
    let rest = below(rest, counters_height + 1);
    if rest.height >= 3 {
        peers(state, canvas, rest, part);
    }
}

/// What to say below the figures of a member that does not answer: they are old.
fn silence(state: &State, m: &MemberView) -> Option<String> {
    if m.state.answers() {
        return None;
    }
    let note = members::note(state, m).map_or_else(String::new, |n| format!(": {n}"));
    Some(format!("{}{note}", m.state.shown()))
}

type Cells<'a> = dyn Fn(&MemberView) -> Vec<String> + 'a;

/// A table of members with right-leaning figures; with the row of each member, for what else stands in it.
fn table(
    state: &State,
    canvas: &mut Canvas<'_>,
    area: Rect,
    shown: &[usize],
    head: &[(&str, u16)],
    cells: &Cells<'_>,
    notes: bool,
) -> Vec<(usize, Rect)> {
    let theme = canvas.theme;
    let ellipsis = canvas.glyphs.ellipsis;
    let names = rows::names_width(state, 6, 20);
    let mut x = names + 4;
    canvas.text(area, 3, "MEMBER", theme.dim);
    for (title, w) in head {
        canvas.text(area, x, &pad(title, *w, true, ellipsis), theme.dim);
        x += w + 2;
    }
    let selected = state.selected_row();
    let (mut rest, mut places) = (below(area, 1), Vec::new());
    for i in shown {
        let m = &state.view.members[*i];
        let line = row(rest, 0);
        rest = below(rest, 1);
        places.push((*i, line));
        let style = if m.state.answers() { theme.text } else { theme.dim };
        canvas.text(line, 3, &rows::name(state, m, names, ellipsis), theme.strong);
        let mut x = names + 4;
        for ((_, w), cell) in head.iter().zip(cells(m)) {
            canvas.text(line, x, &pad(&cell, *w, true, ellipsis), style);
            x += w + 2;
        }
        if selected == Some(*i) {
            canvas.text(line, 1, canvas.glyphs.cursor, theme.key);
            canvas.shade(line, theme.selected);
        }
        if let Some(note) = silence(state, m).filter(|_| notes) {
            let x = canvas.text(row(rest, 0), 3, canvas.glyphs.branch, theme.dim);
            canvas.text(row(rest, 0), x + 1, &note, theme.state(m.state));
            rest = below(rest, 1);
        }
    }
    places
}

fn log(state: &State, canvas: &mut Canvas<'_>, area: Rect, shown: &[usize], share: &str) {
    let inner = canvas.section(area, &format!("Log: what each member says of itself{share}"));
    let dash = canvas.glyphs.dash.to_owned();
    let head = [("SAYS LEADER", 12), ("TERM", 6), ("COMMITTED", 13), ("APPLIED", 13), ("LAG", 8)];
    let cells = |m: &MemberView| {
        let s = m.status.as_ref();
        let or_dash = |t: Option<String>| t.unwrap_or_else(|| dash.clone());
        vec![
            or_dash(s.map(|s| s.leader.map_or_else(|| "nobody".into(), |id| state.view.name_of(id)))),
            or_dash(s.map(|s| s.raft_term.0.to_string())),
            or_dash(s.map(|s| grouped(s.raft_index.0))),
            or_dash(s.map(|s| grouped(s.raft_applied_index.0))),
            or_dash(m.lag.map(grouped)),
        ]
    };
    let places = table(state, canvas, inner, shown, &head, &cells, true);
    // Committed entries a second, where there is room for a line of levels.
    let names = rows::names_width(state, 6, 20);
    let used = names + 4 + head.iter().map(|(_, w)| w + 2).sum::<u16>();
    if inner.width < used + 16 {
        return;
    }
    let room = (inner.width - used - 1).min(60);
    // Moves on by a column every step, not at every poll: less to repaint.
    let step = i64::try_from(STEP.as_secs()).unwrap_or(1);
    let now = Timestamp::from_second(state.now.as_second().div_euclid(step) * step).unwrap_or(state.now);
    let lines: Vec<_> = places
        .iter()
        .filter_map(|(i, line)| {
            let ring = state.history.ring(state.view.members[*i].id?)?;
            Some((*line, commit_rates(ring, now, STEP, usize::from(room))))
        })
        .collect();
    // One scale for all, or a member that stands still would look like one that works.
    let most = lines.iter().flat_map(|(_, rates)| rates).flatten().copied().fold(0.0_f64, f64::max);
    let title = format!("ENTRIES/S, last {}, up to {most:.0}", age(STEP * u32::from(room)));
    canvas.text(inner, used, &title, canvas.theme.dim);
    for (line, rates) in lines {
        chart::sparkline(canvas, Rect { x: line.x + used, width: room, ..line }, &rates, most);
    }
}

fn counters(state: &State, canvas: &mut Canvas<'_>, area: Rect, shown: &[usize]) {
    let inner = canvas.section(area, "Proposals and elections, since each member's start (/metrics)");
    let dash = canvas.glyphs.dash.to_owned();
    let head = [
        ("PENDING", 8),
        ("FAILED", 8),
        ("LEADER CHANGES", 14),
        ("SLOW APPLIES", 12),
        ("HEARTBEATS LOST", 15),
    ];
    let cells = |m: &MemberView| {
        let x = m.metrics.as_ref();
        let figure = |n: Option<u64>| n.map_or_else(|| dash.clone(), grouped);
        vec![
            figure(x.and_then(|x| x.proposals_pending)),
            figure(x.and_then(|x| x.proposals_failed)),
            figure(x.and_then(|x| x.leader_changes)),
            figure(x.and_then(|x| x.slow_applies)),
            figure(x.and_then(|x| x.heartbeat_failures)),
        ]
    };
    table(state, canvas, inner, shown, &head, &cells, false);
}

fn peers(state: &State, canvas: &mut Canvas<'_>, area: Rect, shown: &[usize]) {
    let inner = canvas.section(area, "Round trips between peers, p99 of the last 5 min (/metrics)");
    let ids: Vec<MemberId> = shown.iter().filter_map(|i| state.view.members[*i].id).collect();
    let names: Vec<String> = ids.iter().map(|id| format!("to {}", state.view.name_of(*id))).collect();
    let head: Vec<(&str, u16)> = names.iter().map(|n| (n.as_str(), width(n).clamp(8, 16))).collect();
    let dash = canvas.glyphs.dash.to_owned();
    let cells = |m: &MemberView| {
        ids.iter()
            .map(|to| {
                if m.id == Some(*to) {
                    String::new()
                } else {
                    m.id.and_then(|from| state.history.rtt(from, *to))
                        .map_or_else(|| dash.clone(), |s| latency(s.p99))
                }
            })
            .collect()
    };
    table(state, canvas, inner, shown, &head, &cells, false);
}
