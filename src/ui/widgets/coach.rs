//! The coach of a lab's scenario, beside the open view: a column where it is wide, a strip below where it is not.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::coach::elapsed;
use crate::app::keymap::action;
use crate::app::{ActionId, State};
use crate::model::coach::{Change, CoachView, Stand};
use crate::ui::canvas::{Canvas, below, row, width, wrap};
use crate::ui::theme::{Glyphs, Theme};

/// From so many columns on it is a column.
const WIDE: u16 = 110;

/// A line of text.
pub(in crate::ui) type Line = (String, Style);

/// What is left for the view, and the place of the coach.
pub(in crate::ui) fn split(state: &State, body: Rect) -> (Rect, Option<Rect>) {
    if state.coach.is_none() {
        return (body, None);
    }
    if body.width >= WIDE {
        let columns = (body.width / 3 - 1).clamp(38, 44);
        let view = Rect { width: body.width - columns - 1, ..body };
        return (view, Some(Rect { x: view.right() + 1, width: columns, ..body }));
    }
    let rows = match body.height {
        ..12 => 3,
        12..18 => 5,
        18..30 => 6,
        _ => 7,
    };
    let rows = rows.min(body.height / 2);
    let view = Rect { height: body.height - rows, ..body };
    (view, Some(below(body, view.height)))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, body: Rect) {
    let Some(coach) = state.coach.as_deref() else { return };
    if body.width >= WIDE {
        for y in 0..area.height {
            canvas.text(row(area, y), 0, canvas.glyphs.side, canvas.theme.rule);
        }
        column(state, canvas, Rect { x: area.x + 2, width: area.width - 2, ..area }, coach);
    } else {
        strip(state, canvas, area, coach);
    }
}

/// The scenario's title; of one whose name must not be told none.
pub(in crate::ui) fn title(coach: &CoachView) -> String {
    if coach.scenario == "mystery" { "Coach: a mystery".into() } else { format!("Coach: {}", coach.title) }
}

/// `2:10`, `1:02:10`.
fn clock(d: Duration) -> String {
    let s = d.as_secs();
    let (hours, minutes, seconds) = (s / 3_600, s / 60 % 60, s % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `step 2 of 4, 2:10, 85 points`.
pub(in crate::ui) fn standing(state: &State, coach: &CoachView) -> String {
    let time = elapsed(coach, state.clock).map_or_else(String::new, |t| format!(", {}", clock(t)));
    let points = if coach.score == 1 { "point" } else { "points" };
    format!("step {} of {}{time}, {} {points}", coach.step, coach.of, coach.score)
}

/// How the scenario stands, where there is more to say of it than that it runs.
pub(in crate::ui) fn stand(coach: &CoachView, theme: &Theme, glyphs: &Glyphs) -> Option<Line> {
    match &coach.stand {
        Stand::Prepares(what) => Some((format!("preparing: {what}"), theme.accent)),
        Stand::Runs => None,
        Stand::Solved => Some((format!("{} SOLVED", glyphs.done), theme.good)),
        Stand::Lost(why) => Some((format!("{} LOST: {why}", glyphs.bad), theme.bad)),
    }
}

const fn over(coach: &CoachView) -> bool {
    matches!(coach.stand, Stand::Solved | Stand::Lost(_))
}

/// `14:02:11 m2 leads, term 3 (was m1)`.
pub(in crate::ui) fn change(state: &State, change: &Change) -> String {
    format!("{} {}", time(state, change.at), change.line)
}

fn time(state: &State, at: Timestamp) -> String {
    at.to_zoned(state.zone.clone()).strftime("%H:%M:%S").to_string()
}

/// What the coach says now, but for what changed: each piece on its own, the most important ones with a lower rank.
fn pieces(coach: &CoachView, theme: &Theme, glyphs: &Glyphs) -> Vec<(u8, String, Style)> {
    let mut pieces = Vec::new();
    let mut say = |rank, text: String, style| pieces.push((rank, text, style));
    if let Some((text, style)) = stand(coach, theme, glyphs) {
        say(0, text, style);
    }
    if over(coach) || matches!(coach.stand, Stand::Prepares(_)) {
        if !coach.symptom.is_empty() {
            say(4, coach.symptom.clone(), theme.text);
        }
    } else {
        if coach.step <= 1 && !coach.symptom.is_empty() {
            say(5, coach.symptom.clone(), theme.text);
        }
        say(0, coach.task.clone(), theme.strong);
        match &coach.missing {
            Some(missing) => say(1, format!("still missing: {missing}"), theme.warning),
            None => say(1, format!("{} reached", glyphs.done), theme.good),
        }
        if !coach.look.is_empty() {
            say(6, format!("look at {}", coach.look), theme.dim);
        }
        let last = coach.hints.len();
        for (i, hint) in coach.hints.iter().enumerate() {
            // The newest is what was asked for just now.
            say(if i + 1 == last { 3 } else { 8 }, format!("hint: {hint}"), theme.accent);
        }
        if let Some(doing) = &coach.doing {
            say(2, format!("{} {doing}", glyphs.cursor), theme.accent);
        }
    }
    for mistake in &coach.mistakes {
        say(7, format!("{} {mistake}", glyphs.warning), theme.warning);
    }
    pieces
}

/// The keys and what they do now.
fn keys(state: &State, canvas: &mut Canvas<'_>, area: Rect, coach: &CoachView) {
    let theme = canvas.theme;
    let hint = format!("hint ({})", coach.hints_left);
    let (acts, all) = if over(coach) {
        ("begin anew".to_owned(), "what happened inside")
    } else {
        (format!("act ({})", coach.choices.len()), "all of it")
    };
    let words = [(ActionId::Hint, hint), (ActionId::Acts, acts), (ActionId::Coach, all.to_owned())];
    let mut x = 0;
    for (id, word) in words {
        let unavailable = action(id).is_some_and(|a| a.unavailable(state).is_some());
        let key = state.keymap.first(id);
        if unavailable || key.is_empty() || x + width(&key) + width(&word) + 1 > area.width {
            continue;
        }
        x = canvas.spans(area, x, &[(&key, theme.key), (" ", theme.dim), (&word, theme.dim)]) + 2;
    }
}

fn column(state: &State, canvas: &mut Canvas<'_>, area: Rect, coach: &CoachView) {
    let theme = canvas.theme;
    let inner = canvas.section(area, &title(coach));
    let columns = inner.width;
    canvas.text(inner, 0, &standing(state, coach), theme.dim);
    keys(state, canvas, row(inner, inner.height.saturating_sub(1)), coach);
    let inner = Rect { height: inner.height.saturating_sub(2), ..below(inner, 1) };

    let mut blocks: Vec<Vec<Line>> = pieces(coach, theme, canvas.glyphs)
        .into_iter()
        .map(|(_, text, style)| wrap(&text, columns).into_iter().map(|l| (l, style)).collect())
        .collect();
    if over(coach) {
        let inside = format!("{}: what happened inside", state.keymap.first(ActionId::Coach));
        blocks.insert(1.min(blocks.len()), vec![(inside, theme.key)]);
    }
    // A blank line before each, where that leaves something for what changed.
    let total = blocks.iter().map(Vec::len).sum::<usize>();
    let airy = total + blocks.len() + LEAST_CHANGES + 2 <= usize::from(inner.height);
    let mut lines: Vec<Line> = Vec::new();
    for block in blocks {
        if airy {
            lines.push((String::new(), theme.text));
        }
        lines.extend(block);
    }
    let room = usize::from(inner.height);
    if lines.len() > room {
        lines.truncate(room.saturating_sub(1));
        lines.push((canvas.glyphs.ellipsis.to_owned(), theme.dim));
    }
    for (y, (text, style)) in (0..inner.height).zip(&lines) {
        canvas.text(row(inner, y), 0, text, *style);
    }
    // What changed gets the rest, the newest at the bottom.
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(1);
    let rest = below(inner, used);
    if rest.height < 3 || coach.changed.is_empty() {
        return;
    }
    let log = canvas.section(Rect { height: rest.height - 1, ..rest }, "What changed");
    let mut lines: Vec<String> = Vec::new();
    for change in coach.changed.iter().rev() {
        let mut text = wrap(&self::change(state, change), columns);
        if lines.len() + text.len() > usize::from(log.height) {
            break;
        }
        text.reverse();
        lines.extend(text);
    }
    for (y, text) in (0..log.height).zip(lines.iter().rev()) {
        canvas.text(row(log, y), 0, text, theme.dim);
    }
}

/// So many rows of what changed are worth a heading.
const LEAST_CHANGES: usize = 3;

/// Heading, as much of what counts as fits, keys.
fn strip(state: &State, canvas: &mut Canvas<'_>, area: Rect, coach: &CoachView) {
    let heading = format!("{}: {}", title(coach), standing(state, coach));
    let inner = canvas.section(area, &heading);
    keys(
        state,
        canvas,
        {
            let last = row(inner, inner.height.saturating_sub(1));
            Rect { x: last.x + 1, width: last.width.saturating_sub(2), ..last }
        },
        coach,
    );
    let room = usize::from(inner.height.saturating_sub(1));
    let columns = inner.width.saturating_sub(2);
    let mut pieces = pieces(coach, canvas.theme, canvas.glyphs);
    if let Some(last) = coach.changed.last() {
        pieces.push((4, change(state, last), canvas.theme.dim));
    }
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|i| pieces[*i].0);
    let (mut chosen, mut used) = (Vec::new(), 0);
    for i in order {
        let lines = wrap(&pieces[i].1, columns);
        // A task takes two rows; what else does not fit into one is cut, and whole in the coach's own window.
        let most = if pieces[i].0 == 0 { 2 } else { 1 };
        let taken = lines.len().min(most);
        if used + taken <= room {
            used += taken;
            let mut lines = lines;
            let rest = lines.split_off(taken - 1).join(" ");
            lines.push(rest);
            chosen.push((i, lines));
        }
    }
    chosen.sort_by_key(|(i, _)| *i);
    let lines = chosen.iter().flat_map(|(i, lines)| lines.iter().map(|l| (l, pieces[*i].2)));
    for (y, (text, style)) in (0..inner.height).zip(lines) {
        let at = row(inner, y);
        canvas.text(Rect { width: at.width.saturating_sub(1), ..at }, 1, text, style);
    }
}
