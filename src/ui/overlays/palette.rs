//! The command palette.

use ratatui::layout::Rect;
use tui_input::Input;

use crate::app::State;
use crate::app::palette::matches;
use crate::ui::canvas::{Canvas, pad, row};

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, input: &Input, chosen: usize) {
    let found = matches(input.value());
    let rows = u16::try_from(found.len().clamp(1, 12) + 4).unwrap_or(16);
    let inner = canvas.popup(area, 72, rows, "Command (tab completes, enter runs, esc closes)");
    let theme = canvas.theme;
    let line = row(inner, 0);
    let before: String = input.value().chars().take(input.cursor()).collect();
    let after: String = input.value().chars().skip(input.cursor()).collect();
    let mut rest = after.chars();
    let under = rest.next().map_or_else(|| " ".to_owned(), |c| c.to_string());
    let rest: String = rest.collect();
    canvas.spans(
        line,
        0,
        &[(":", theme.key), (&before, theme.strong), (&under, theme.badge), (&rest, theme.strong)],
    );
    if found.is_empty() {
        canvas.text(row(inner, 2), 0, "no command is called so", theme.dim);
    }
    let list = usize::from(inner.height.saturating_sub(2)).max(1);
    let first = chosen.saturating_sub(list - 1);
    if found.len() > list {
        let left = format!("{} of {}", chosen + 1, found.len());
        canvas.right(line, &left, theme.dim);
    }
    for (y, (i, a)) in (2..inner.height).zip(found.iter().enumerate().skip(first)) {
        let line = row(inner, y);
        let why = a.unavailable(state);
        let style = if why.is_some() { theme.dim } else { theme.text };
        let ellipsis = canvas.glyphs.ellipsis;
        canvas.text(
            line,
            0,
            &pad(a.name, 15, false, ellipsis),
            if why.is_some() { theme.dim } else { theme.strong },
        );
        canvas.text(line, 16, &pad(&state.keymap.shown(a.id), 12, false, ellipsis), theme.key);
        let help = why.map_or_else(|| a.help.to_owned(), |r| format!("not now: {r}"));
        canvas.text(line, 29, &help, style);
        if i == chosen {
            canvas.shade(line, theme.selected);
        }
    }
}
