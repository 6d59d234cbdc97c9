//! 5: what runs, its log, and what ran before.

use ratatui::layout::Rect;

use crate::app::State;
use crate::ops::journal::{End, StepEnd};
use crate::ops::past::Past;
use crate::ui::canvas::{Canvas, below, pad, row, wrap};
use crate::ui::widgets::operation;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let mut rest = area;
    if let Some(running) = &state.changes.operation {
        let height = operation::rows_wanted(state, area.width).min(area.height / 2);
        operation::draw(state, canvas, Rect { height, ..rest });
        rest = below(rest, height + 1);
        // Whole lines: here a file's full name and a reason can be read to their ends.
        let mut lines: Vec<(String, String)> = Vec::new();
        for (at, line) in &running.log {
            let mut time = at.to_zoned(state.zone.clone()).strftime("%H:%M:%S ").to_string();
            for part in wrap(line, rest.width.saturating_sub(11)) {
                lines.push((std::mem::replace(&mut time, " ".repeat(9)), part));
            }
        }
        let log = u16::try_from(lines.len() + 1).unwrap_or(u16::MAX).min(rest.height / 2).max(2);
        let inner = canvas.section(Rect { height: log, ..rest }, "Log");
        let skip = lines.len().saturating_sub(usize::from(inner.height));
        for (y, (time, line)) in (0..inner.height).zip(lines.iter().skip(skip)) {
            let x = canvas.text(row(inner, y), 1, time, canvas.theme.dim);
            canvas.text(row(inner, y), x, line, canvas.theme.text);
        }
        rest = below(rest, log + 1);
    }
    let past = &state.changes.past.operations;
    let inner = canvas.section(rest, &format!("Before, newest first, from the journal ({})", past.len()));
    if past.is_empty() {
        canvas.text(inner, 1, "no operation of this cluster is known on this host", canvas.theme.dim);
    }
    for (y, past) in (0..inner.height).zip(past.iter().rev().skip(state.scroll.into())) {
        entry(state, canvas, row(inner, y), past);
    }
}

fn entry(state: &State, canvas: &mut Canvas<'_>, line: Rect, past: &Past) {
    let theme = canvas.theme;
    let time = past.at.map_or_else(String::new, |at| {
        at.to_zoned(state.zone.clone()).strftime("%Y-%m-%d %H:%M ").to_string()
    });
    let done = past.steps.iter().filter(|s| s.end == Some(StepEnd::Done)).count();
    let elsewhere = state.changes.past.running_elsewhere().is_some_and(|(p, _)| p.plan == past.plan);
    let ours = state.changes.running().is_some_and(|o| o.plan.id == past.plan);
    // The outcome before what it was: on a small terminal the end of the line is cut.
    let (word, why, style) = match &past.end {
        Some(End::Done) => ("done", String::new(), theme.good),
        Some(End::Cancelled(why) | End::Stopped(why)) => ("stopped", why.clone(), theme.warning),
        Some(End::Failed(why)) => ("failed", why.clone(), theme.bad),
        Some(End::Unknown(why)) => ("unknown", why.clone(), theme.bad),
        None if ours || elsewhere => ("runs", String::new(), theme.accent),
        None => ("interrupted", String::new(), theme.bad),
    };
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let word = pad(word, 12, false, canvas.glyphs.ellipsis);
    let figures = format!(", {done} of {} steps, by {}{why}", past.steps.len(), past.by);
    canvas.spans(
        line,
        1,
        &[(&time, theme.dim), (&word, style), (&past.title, theme.text), (&figures, theme.dim)],
    );
}
