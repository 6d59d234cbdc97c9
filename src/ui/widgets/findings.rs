//! What is wrong, and what next.

use ratatui::layout::Rect;

use crate::app::State;
use crate::model::VerdictKind;
use crate::ui::canvas::{Canvas, below, row, width};

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.section(area, "What is wrong, and what next");
    if state.findings.is_empty() {
        let text = match state.verdict.kind {
            VerdictKind::Connecting => "waiting for the first answer",
            _ => "nothing found: members, quorum, alarms, quota, space, lag, versions",
        };
        canvas.text(inner, 1, text, theme.dim);
        return;
    }
    let fits = usize::from(inner.height);
    let cut = state.findings.len() > fits;
    let shown = if cut { fits.saturating_sub(1) } else { state.findings.len() };
    // The next steps share a column at the right where there is room for both.
    let widest = state.findings.iter().take(shown).map(|f| width(&f.next)).max().unwrap_or(0);
    let next_room = if inner.width >= 100 && widest > 0 { (widest + 2).min(inner.width / 2) } else { 0 };
    for (y, f) in (0_u16..).zip(state.findings.iter().take(shown)) {
        let line = row(inner, y);
        let style = theme.severity(f.severity);
        let left = Rect { width: line.width - next_room, ..line };
        let x = canvas.spans(left, 1, &[(canvas.glyphs.severity(f.severity), style), (" ", style)]);
        let x = canvas.text(left, x, &format!("{:<8} ", f.severity.word()), style);
        canvas.text(left, x, &f.line, theme.text);
        if next_room > 0 {
            let right = Rect { x: line.x + left.width, width: next_room, ..line };
            canvas.text(right, 1, &f.next, theme.accent);
        }
    }
    if cut {
        let more = format!("and {} more", state.findings.len() - shown);
        canvas.text(below(inner, inner.height.saturating_sub(1)), 3, &more, theme.dim);
    }
}
