//! The operation that runs, or ran last: its steps and how each stands.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::bar::{self, Parts};
use crate::app::State;
use crate::app::operation::{Operation, Standing};
use crate::model::units::{age, latency};
use crate::model::{Bytes, MemberView};
use crate::ops::Progress;
use crate::ops::journal::{End, StepEnd, step_line as step_outcome};
use crate::ops::plan::Step;
use crate::ui::canvas::{Canvas, row, wrap};

/// Rows that the pane wants; none without an operation.
pub(in crate::ui) fn rows_wanted(state: &State, columns: u16) -> u16 {
    let Some(operation) = &state.changes.operation else { return 0 };
    let rows = operation.steps.len() + wrap(&standing(operation), columns.saturating_sub(2)).len();
    u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(1)
}

/// What the whole waits for, or how it ended: the one line that must be read whole.
fn standing(operation: &Operation) -> String {
    match (&operation.end, &operation.waiting) {
        (Some((end, _)), _) => end.to_string(),
        (None, _) if operation.stopping => format!("stops {}", operation.safe_point()),
        (None, Some(why)) => format!("waits: {why}"),
        (None, None) => format!("x stops it {}", operation.safe_point()),
    }
}

fn since(state: &State, at: jiff::Timestamp) -> Duration {
    Duration::try_from(state.clock.duration_since(at)).unwrap_or_default()
}

/// `4 s of about 6 s`, and how far where that can be told; never a guess.
fn running(state: &State, operation: &Operation, step: &Step, began: jiff::Timestamp) -> String {
    let mut text = age(since(state, began));
    if let Some(estimate) = step.estimate {
        text.push_str(&format!(" of about {}", age(estimate)));
    }
    if operation.progress != Progress::Unknown {
        text.push_str(&format!(", {}", operation.progress));
    }
    text
}

/// The line below the row of a member that something is done to.
pub(in crate::ui) fn note(state: &State, m: &MemberView) -> Option<String> {
    let operation = state.changes.running()?;
    let (step, began) = operation.on(m.id?)?;
    Some(format!("{}: {}", step.title, running(state, operation, step, began)))
}

fn step_line(
    state: &State,
    canvas: &Canvas<'_>,
    operation: &Operation,
    step: &Step,
    standing: &Standing,
) -> (String, Style) {
    let (theme, g) = (canvas.theme, canvas.glyphs);
    match standing {
        Standing::Ahead => (format!("{} {}", g.dot, step.title), theme.dim),
        Standing::Runs(began) => (
            format!("{} {}: {}", g.cursor, step.title, running(state, operation, step, *began)),
            theme.accent,
        ),
        Standing::Settles(end, took_ms) => {
            let took =
                took_ms.map_or_else(String::new, |ms| format!(", {}", latency(Duration::from_millis(ms))));
            let (mark, word) = match end {
                StepEnd::Done => (g.done, "done"),
                StepEnd::Needless(_) => (g.done, "not needed"),
                _ => (g.warning, "not done"),
            };
            (
                format!("{mark} {}: {word}{took}; what must hold after it is waited for", step.title),
                theme.accent,
            )
        }
        Standing::Ended(end, figures) => {
            let (mark, style) = match end {
                StepEnd::Done | StepEnd::Needless(_) => (g.done, theme.good),
                StepEnd::Skipped(_) | StepEnd::Unknown(_) => (g.warning, theme.warning),
                StepEnd::Failed(_) => (g.bad, theme.bad),
            };
            (format!("{mark} {}", step_outcome(step, end, figures)), style)
        }
    }
}

/// The proof: how long the file was and is, on one scale for all members; what was given back is light.
fn proof(canvas: &mut Canvas<'_>, line: Rect, x: u16, standing: &Standing, largest: Bytes) {
    let Standing::Ended(StepEnd::Done, figures) = standing else { return };
    let (Some(before), Some(after)) = (figures.before, figures.after) else { return };
    let room = line.width.saturating_sub(x + 1).min(30);
    if room < 8 || before == after {
        return;
    }
    let at = Rect { x: line.x + x, width: room, ..line };
    bar::draw(canvas, at, Parts { in_use: Some(after.min(before)), size: before, whole: largest });
}

/// The pane: heading, steps, and what it waits for or how it ended.
pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(operation) = &state.changes.operation else { return };
    let theme = canvas.theme;
    let done = operation.steps.iter().filter(|(_, s)| matches!(s, Standing::Ended(..))).count();
    let at = (done + 1).min(operation.steps.len());
    let title = match &operation.end {
        None => format!("{}, step {at} of {}", operation.plan.title, operation.steps.len()),
        Some(_) => operation.plan.title.clone(),
    };
    let inner = canvas.section(area, &title);
    let lines: Vec<_> =
        operation.steps.iter().map(|(step, s)| step_line(state, canvas, operation, step, s)).collect();
    let largest = operation
        .steps
        .iter()
        .filter_map(|(_, s)| if let Standing::Ended(_, f) = s { f.before.max(f.after) } else { None })
        .max()
        .unwrap_or_default();
    let style = match (&operation.end, &operation.waiting) {
        (Some((End::Done, _)), _) => theme.good,
        (Some(_), _) => theme.bad,
        (None, None) if !operation.stopping => theme.dim,
        (None, _) => theme.warning,
    };
    let mut whole = wrap(&standing(operation), inner.width.saturating_sub(2));
    whole.truncate(usize::from(inner.height.saturating_sub(1)).max(1));
    // Around the step that runs when not all fit; the last rows are for the state of the whole.
    let room = usize::from(inner.height).saturating_sub(whole.len()).max(1);
    let first = done.saturating_sub(room / 2).min(lines.len().saturating_sub(room));
    let mut y = 0;
    for ((line, style), (_, standing)) in lines.iter().zip(&operation.steps).skip(first).take(room) {
        let x = canvas.text(row(inner, y), 1, line, *style);
        proof(canvas, row(inner, y), x + 2, standing, largest);
        y += 1;
    }
    for (y, line) in (y..inner.height).zip(&whole) {
        canvas.text(row(inner, y), 1, line, style);
    }
}
