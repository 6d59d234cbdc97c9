//! Everything that the coach says, and the menu of what can be done to the lab.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::coach::Acts;
use crate::model::coach::{CoachView, Stand};
use crate::ui::canvas::{Canvas, row, wrap};
use crate::ui::theme::{Glyphs, Theme};
use crate::ui::widgets::coach::{Line, change, stand, standing, title};

/// Columns of text inside the frame.
const fn text_columns(area: Rect) -> u16 {
    let columns = if area.width < 100 { area.width } else { 100 };
    columns.saturating_sub(4)
}

/// What is shown, a line each, wrapped to `columns`.
fn lines(state: &State, coach: &CoachView, theme: &Theme, glyphs: &Glyphs, columns: u16) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut say = |text: &str, style| lines.extend(wrap(text, columns).into_iter().map(|l| (l, style)));
    let mut paragraphs: Vec<(&str, Vec<String>, ratatui::style::Style)> = Vec::new();
    if let Some((text, style)) = stand(coach, theme, glyphs) {
        say(&text, style);
    }
    say(&standing(state, coach), theme.dim);
    let mut paragraph = |heading, text: Vec<String>, style| {
        if text.iter().any(|t| !t.is_empty()) {
            paragraphs.push((heading, text, style));
        }
    };
    // After the end this is what one opens it for.
    paragraph("What happened inside", coach.debrief.clone(), theme.text);
    paragraph("What is reported", vec![coach.symptom.clone()], theme.text);
    if matches!(coach.stand, Stand::Runs) {
        paragraph("Task", vec![coach.task.clone()], theme.strong);
        paragraph("Still missing", coach.missing.iter().cloned().collect(), theme.warning);
        paragraph("Where to look", vec![coach.look.clone()], theme.text);
        paragraph("Hints", coach.hints.clone(), theme.accent);
        paragraph("Being done", coach.doing.iter().cloned().collect(), theme.accent);
    }
    paragraph("Mistakes", coach.mistakes.clone(), theme.warning);
    paragraph("What changed", coach.changed.iter().map(|c| change(state, c)).collect(), theme.text);
    for (heading, texts, style) in paragraphs {
        lines.push((String::new(), theme.text));
        lines.push((heading.to_owned(), theme.accent));
        for text in texts {
            let wrapped = wrap(&text, columns.saturating_sub(2));
            lines.extend(wrapped.into_iter().map(|l| (format!("  {l}"), style)));
        }
    }
    lines
}

/// How many lines it can be scrolled.
pub(in crate::ui) fn most_scroll(state: &State, theme: &Theme, glyphs: &Glyphs, area: Rect) -> u16 {
    let Some(coach) = state.coach.as_deref() else { return 0 };
    let lines = lines(state, coach, theme, glyphs, text_columns(area)).len();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, scroll: u16) {
    let columns = text_columns(area);
    let Some(coach) = state.coach.as_deref() else {
        let inner = canvas.popup(area, columns + 4, 3, "Coach (esc closes)");
        canvas.text(inner, 0, "no lab scenario runs any more", canvas.theme.dim);
        return;
    };
    let lines = lines(state, coach, canvas.theme, canvas.glyphs, columns);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let keys = if rows > area.height { "j k scroll, esc closes" } else { "esc closes" };
    let inner = canvas.popup(area, columns + 4, rows, &format!("{} ({keys})", title(coach)));
    let first = scroll.min(most_scroll(state, canvas.theme, canvas.glyphs, area));
    for (y, (text, style)) in (0..inner.height).zip(lines.iter().skip(usize::from(first))) {
        canvas.text(row(inner, y), 0, text, *style);
    }
}

/// The menu: each entry with the command that it stands for below it.
pub(in crate::ui) fn acts(canvas: &mut Canvas<'_>, area: Rect, acts: &Acts) {
    let entries = acts.entries();
    let rows = u16::try_from(entries.len() * 2 + 2).unwrap_or(u16::MAX);
    let inner = canvas.popup(area, 76, rows, "Act on the lab (1-9 j k choose, enter does it, esc closes)");
    let theme = canvas.theme;
    let fit = usize::from(inner.height / 2).max(1);
    let first = (acts.chosen + 1).saturating_sub(fit);
    for (y, (i, (title, command))) in (0_u16..).step_by(2).zip(entries.iter().enumerate().skip(first)) {
        let line = row(inner, y);
        let number = if i < 9 { (i + 1).to_string() } else { " ".to_owned() };
        if i == acts.chosen {
            canvas.text(line, 0, canvas.glyphs.cursor, theme.key);
        }
        canvas.spans(line, 2, &[(&number, theme.key), ("  ", theme.text), (title, theme.strong)]);
        canvas.text(row(inner, y + 1), 5, &format!("$ {command}"), theme.dim);
        if i == acts.chosen {
            canvas.shade(line, theme.selected);
        }
    }
}
