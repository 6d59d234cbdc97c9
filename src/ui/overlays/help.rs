//! Every key, made from the table of keys.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::keymap::{ACTIONS, Group};
use crate::ui::canvas::{Canvas, pad, row};

/// Keys, what they do, and whether it is a heading.
type Line = (String, String, bool);

fn lines(state: &State, groups: &[Group]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for group in groups {
        if !lines.is_empty() {
            lines.push((String::new(), String::new(), false));
        }
        lines.push((group.title().to_owned(), String::new(), true));
        for a in ACTIONS.iter().filter(|a| a.group == *group) {
            let known = *group == Group::Replay && state.replay.is_none(); // as the heading says
            let why = a
                .unavailable(state)
                .filter(|_| !known)
                .map_or_else(String::new, |r| format!(" (not now: {r})"));
            lines.push((state.keymap.shown(a.id), format!("{}{why}", a.help), false));
        }
    }
    lines
}

/// Side by side where it is wide, one below the other where it is not.
fn columns(state: &State, area: Rect) -> Vec<Vec<Line>> {
    if area.width >= 110 {
        vec![
            lines(state, &[Group::Views, Group::Move, Group::Lab, Group::Replay]),
            lines(state, &[Group::Change, Group::Look, Group::Program]),
        ]
    } else {
        vec![lines(
            state,
            &[
                Group::Views,
                Group::Change,
                Group::Move,
                Group::Look,
                Group::Lab,
                Group::Program,
                Group::Replay,
            ],
        )]
    }
}

/// How many lines it can be scrolled.
pub(in crate::ui) fn most_scroll(state: &State, area: Rect) -> u16 {
    let longest = columns(state, area).iter().map(Vec::len).max().unwrap_or(0);
    u16::try_from(longest).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(2))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, scroll: u16) {
    let columns = columns(state, area);
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let rows = u16::try_from(longest + 2).unwrap_or(u16::MAX);
    let title = if rows > area.height { "Keys (j k scroll, esc closes)" } else { "Keys (esc closes)" };
    let width = if columns.len() == 2 { 116 } else { 78 };
    let inner = canvas.popup(area, width, rows, title);
    let first = scroll.min(most_scroll(state, area));
    let share = inner.width / u16::try_from(columns.len()).unwrap_or(1);
    let theme = canvas.theme;
    for (i, lines) in (0_u16..).zip(&columns) {
        let column = Rect { x: inner.x + i * share, width: share, ..inner };
        for (y, (keys, help, heading)) in (0..inner.height).zip(lines.iter().skip(usize::from(first))) {
            let line = row(column, y);
            if *heading {
                canvas.text(line, 0, keys, theme.accent);
            } else {
                canvas.text(line, 1, &pad(keys, 16, false, canvas.glyphs.ellipsis), theme.key);
                canvas.text(line, 18, help, theme.text);
            }
        }
    }
}
