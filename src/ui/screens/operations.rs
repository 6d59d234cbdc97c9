//! 5: what runs, its log, and what ran before.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::operation::end_line;
use crate::ops::journal::StepEnd;
use crate::ops::past::Past;
use crate::ui::canvas::{Canvas, below, row};
use crate::ui::widgets::operation;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let mut rest = area;
    if let Some(running) = &state.changes.operation {
        let height = operation::rows_wanted(state, area.width).min(area.height / 2);
        operation::draw(state, canvas, Rect { height, ..rest });
        rest = below(rest, height + 1);
        let log = u16::try_from(running.log.len() + 1).unwrap_or(u16::MAX).min(rest.height / 2).max(2);
        let inner = canvas.section(Rect { height: log, ..rest }, "Log");
        let lines = running.log.len().saturating_sub(usize::from(inner.height));
        for (y, (at, line)) in (0..inner.height).zip(running.log.iter().skip(lines)) {
            let time = at.to_zoned(state.zone.clone()).strftime("%H:%M:%S ").to_string();
            let x = canvas.text(row(inner, y), 1, &time, canvas.theme.dim);
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
    let (end, style) = match &past.end {
        Some(crate::ops::journal::End::Done) => ("done".to_owned(), theme.good),
        Some(end) => (end_line(end), theme.warning),
        None if state.changes.running().is_some_and(|o| o.plan.id == past.plan) => {
            ("runs".into(), theme.accent)
        }
        None => ("interrupted".to_owned(), theme.bad),
    };
    let figures = format!(", {done} of {} steps, by {}: ", past.steps.len(), past.by);
    canvas.spans(
        line,
        1,
        &[(&time, theme.dim), (&past.title, theme.text), (&figures, theme.dim), (&end, style)],
    );
}
