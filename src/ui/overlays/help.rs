//! Every key, made from the table of keys.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::keymap::ACTIONS;
use crate::ui::canvas::{Canvas, pad, row};

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, scroll: u16) {
    let mut groups: Vec<_> = ACTIONS.iter().map(|a| a.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut lines: Vec<(String, String, bool)> = Vec::new();
    for group in groups {
        if !lines.is_empty() {
            lines.push((String::new(), String::new(), false));
        }
        lines.push((group.title().to_owned(), String::new(), true));
        for a in ACTIONS.iter().filter(|a| a.group == group) {
            let why = a.unavailable(state).map_or_else(String::new, |r| format!(" (not now: {r})"));
            lines.push((state.keymap.shown(a.id), format!("{}{why}", a.help), false));
        }
    }
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let title = if rows > area.height { "Keys (j k scroll, esc closes)" } else { "Keys (esc closes)" };
    let inner = canvas.popup(area, 76, rows, title);
    let most = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inner.height);
    let theme = canvas.theme;
    for (y, (keys, help, heading)) in (0..inner.height).zip(lines.iter().skip(usize::from(scroll.min(most))))
    {
        let line = row(inner, y);
        if *heading {
            canvas.text(line, 0, keys, theme.accent);
        } else {
            canvas.text(line, 1, &pad(keys, 16, false, canvas.glyphs.ellipsis), theme.key);
            canvas.text(line, 18, help, theme.text);
        }
    }
}
