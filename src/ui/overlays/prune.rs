//! The dialog that removes old snapshots.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::plan::input;
use crate::app::State;
use crate::app::prune::{Focus, KINDS, Prune};
use crate::app::shelf::name_of;
use crate::model::units::age;
use crate::ui::canvas::{Canvas, below, fit_middle, pad, row, width};
use crate::ui::theme::{Glyphs, Theme};

/// Rows below the list: what is to stay, what would go, the buttons.
const CONTROLS: u16 = 4;
/// Columns inside the frame, at most.
const WIDEST: u16 = 110;

/// A row of the list.
fn line(prune: &Prune, i: usize, theme: &Theme, glyphs: &Glyphs, columns: u16) -> Option<(String, Style)> {
    let Some((saved, why)) = prune.fates().nth(i) else {
        let part = prune.parts().get(i - prune.fates().len())?;
        let text = format!("{} goes, unless somebody writes it: {}", glyphs.bad, name_of(part));
        return Some((text, theme.warning));
    };
    let old = Duration::try_from(prune.at.duration_since(saved.taken_at)).unwrap_or_default();
    let (mark, style) = if why.is_some() { (glyphs.done, theme.text) } else { (glyphs.bad, theme.warning) };
    let fate = why.map_or_else(|| "goes".to_owned(), |why| format!("stays: {why}"));
    let fate = pad(&fate, if columns < 90 { 26 } else { 38 }, false, glyphs.ellipsis);
    let (old, size) = (pad(&age(old), 10, false, glyphs.ellipsis), saved.size.to_string());
    let before = format!("{mark} {fate} {old} {size:>9}  ");
    let name = fit_middle(&name_of(&saved.path), columns.saturating_sub(width(&before)), glyphs.ellipsis);
    Some((before + &name, style))
}

/// How far the list can be scrolled.
pub(in crate::ui) fn most_scroll(prune: &Prune, area: Rect) -> u16 {
    let lines = u16::try_from(prune.fates().len() + prune.parts().len()).unwrap_or(u16::MAX);
    lines.saturating_sub(area.height.saturating_sub(CONTROLS + 2))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, prune: &Prune) {
    let theme = canvas.theme;
    let count = prune.fates().len() + prune.parts().len();
    let rows = u16::try_from(count).unwrap_or(u16::MAX).saturating_add(CONTROLS + 2);
    let title = format!("Remove old snapshots from {}", state.changes.snapshots.display());
    let inner = canvas.popup(area, area.width.min(WIDEST + 4), rows, &title);
    let list = Rect { height: inner.height.saturating_sub(CONTROLS), ..inner };
    let most = most_scroll(prune, area);
    let first = prune.scroll.min(most);
    for (y, i) in (0..list.height).zip(usize::from(first)..count) {
        if let Some((text, style)) = line(prune, i, theme, canvas.glyphs, list.width) {
            canvas.text(row(list, y), 0, &text, style);
        }
    }
    let controls = below(inner, list.height);
    if most > 0 {
        let more = if first < most { "pgdn: more" } else { "pgup: back" };
        canvas.right(row(controls, 0), more, theme.accent);
    }
    let line = row(controls, 1);
    let mut x = canvas.text(line, 1, "keep ", theme.dim);
    for (i, (kind, count)) in KINDS.iter().zip(&prune.counts).enumerate() {
        x = canvas.text(line, x, &format!("{kind} "), theme.dim);
        x = input(canvas, line, x, count, prune.focus == Focus::Count(i), 4) + 2;
    }
    let (going, bytes) = prune.going();
    let parts = match prune.parts().len() {
        0 => String::new(),
        n => format!(", and {n} not whole"),
    };
    let text = format!(
        "{going} of {} go ({bytes}){parts}; the newest verified one is read whole first",
        prune.fates().len()
    );
    canvas.text(row(controls, 2), 1, &text, theme.text);
    let typing = matches!(prune.focus, Focus::Count(_)).then_some("type how many stay");
    let hint = typing.or(prune.not_yet()).unwrap_or("tab moves, enter presses, esc cancels");
    let style = |focus: Focus| if prune.focus == focus { theme.badge } else { theme.strong };
    let line = row(controls, 3);
    let x = canvas.text(line, 1, "[ Cancel ]", style(Focus::Cancel));
    let run =
        if prune.not_yet().is_some() && prune.focus != Focus::Run { theme.dim } else { style(Focus::Run) };
    let x = canvas.text(line, x + 2, "[ Remove them ]", run);
    canvas.text(line, x + 3, hint, theme.dim);
}
