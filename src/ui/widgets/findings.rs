//! What is wrong, and what next.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::State;
use crate::model::{Finding, VerdictKind};
use crate::ui::canvas::{Canvas, below, row, width, wrap};

/// Where the line of a finding begins: after glyph and severity.
const INDENT: u16 = 12;
/// From so many columns on the next steps stand beside the lines, otherwise below them.
const WIDE: u16 = 100;

/// Rows that the pane wants, its heading included.
pub(in crate::ui) fn rows_wanted(state: &State, columns: u16) -> u16 {
    let beside = beside_columns(state, columns);
    let rows: usize = state.findings.iter().map(|f| Block::of(state, f, columns, beside).wanted()).sum();
    u16::try_from(rows.max(1) + 1).unwrap_or(u16::MAX)
}

/// A finding as rows: its line and the next step, each wrapped.
struct Block<'a> {
    finding: &'a Finding,
    lines: Vec<String>,
    next: Vec<String>,
    beside: bool,
}

/// The next step, and the key that does it, if one does.
pub(in crate::ui) fn next(state: &State, finding: &Finding) -> String {
    let key = finding.action.and_then(|name| state.keymap.of_name(name));
    key.map_or_else(|| finding.next.clone(), |key| format!("{key}: {}", finding.next))
}

/// Columns that the next steps get beside the lines: what the longest needs, up to half.
fn beside_columns(state: &State, columns: u16) -> u16 {
    let longest = state.findings.iter().map(|f| width(&next(state, f))).max().unwrap_or(0);
    (longest + 1).clamp(columns / 4, columns / 2)
}

impl<'a> Block<'a> {
    fn of(state: &State, finding: &'a Finding, columns: u16, beside_columns: u16) -> Self {
        let beside = columns >= WIDE;
        let room = columns.saturating_sub(INDENT + 1);
        let next_room = if beside { beside_columns } else { room.saturating_sub(2) };
        let line_room = if beside { room.saturating_sub(next_room + 1) } else { room };
        Self {
            finding,
            lines: wrap(&finding.line, line_room),
            next: wrap(&next(state, finding), next_room),
            beside,
        }
    }

    fn wanted(&self) -> usize {
        if self.beside { self.lines.len().max(self.next.len()) } else { self.lines.len() + self.next.len() }
    }

    /// What to show in so many rows: rows of the line and rows of the next step.
    fn split(&self, rows: usize) -> (usize, usize) {
        let lines = rows.min(self.lines.len());
        (lines, if self.beside { rows } else { rows - lines }.min(self.next.len()))
    }
}

/// Rows for each finding that has room, the worst first.
///
/// The first is whole before the second gets a row, because it is the one to act on; then each gets one row before any
/// gets a second one. When some have no room, a row is left to say so.
fn share(wanted: &[usize], height: usize) -> Vec<usize> {
    let Some(first) = wanted.first() else { return Vec::new() };
    let mut rows = vec![*first.min(&height)];
    let left = height - rows[0];
    let others = wanted.len() - 1;
    let fit = if others <= left { others } else { left.saturating_sub(1) };
    rows.extend(std::iter::repeat_n(1, fit));
    let mut spare = if fit < others { 0 } else { left - fit };
    for (rows, wanted) in rows.iter_mut().zip(wanted).skip(1) {
        let more = wanted.saturating_sub(*rows).min(spare);
        *rows += more;
        spare -= more;
    }
    rows
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.section(area, "What is wrong, and what next");
    if state.findings.is_empty() {
        let text = match state.verdict.kind {
            VerdictKind::Connecting => "waiting for the first answer",
            _ => "nothing found: members, quorum, alarms, space, lag, disks, network, requests, versions",
        };
        canvas.text(inner, 1, text, theme.dim);
        return;
    }
    let beside = beside_columns(state, inner.width);
    let blocks: Vec<_> = state.findings.iter().map(|f| Block::of(state, f, inner.width, beside)).collect();
    let wanted: Vec<_> = blocks.iter().map(Block::wanted).collect();
    let rows = share(&wanted, usize::from(inner.height));
    let mut rest = inner;
    for (block, rows) in blocks.iter().zip(&rows) {
        let style = theme.severity(block.finding.severity);
        let glyph = canvas.glyphs.severity(block.finding.severity);
        canvas.spans(rest, 1, &[(glyph, style), (" ", style), (block.finding.severity.word(), style)]);
        let (lines, next) = block.split(*rows);
        if block.beside {
            let column = inner.width - beside;
            put(canvas, Rect { width: column - 1, ..rest }, INDENT, &block.lines, lines, theme.text);
            put(canvas, rest, column, &block.next, next, theme.accent);
        } else {
            put(canvas, rest, INDENT, &block.lines, lines, theme.text);
            if next > 0 {
                let at = below(rest, u16::try_from(lines).unwrap_or(u16::MAX));
                canvas.text(at, INDENT, canvas.glyphs.branch, theme.dim);
                put(canvas, at, INDENT + 2, &block.next, next, theme.accent);
            }
        }
        rest = below(rest, u16::try_from(*rows).unwrap_or(u16::MAX));
    }
    if rows.len() < blocks.len() {
        canvas.text(rest, INDENT, &format!("and {} more", blocks.len() - rows.len()), theme.dim);
    }
}

/// The first `rows` of `lines`, one below the other; the last one takes up what has no row, and is cut.
fn put(canvas: &mut Canvas<'_>, area: Rect, x: u16, lines: &[String], rows: usize, style: Style) {
    for (y, i) in (0_u16..).zip(0..rows) {
        let line = if i + 1 == rows { lines[i..].join(" ") } else { lines[i].clone() };
        canvas.text(row(area, y), x, &line, style);
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_worst_finding_is_whole_and_the_others_are_shown_before_they_grow() {
        for (wanted, height, rows) in [
            (&[][..], 5, &[][..]),
            (&[2, 2, 2], 6, &[2, 2, 2]),
            (&[2, 2, 2], 5, &[2, 2, 1]),
            (&[2, 2, 2], 4, &[2, 1, 1]),
            (&[2, 2, 2], 3, &[2]), // and "2 more"
            (&[3, 1, 1, 1], 5, &[3, 1]),
            (&[3, 1], 2, &[2]),
            (&[3, 1], 0, &[0]),
        ] {
            assert_eq!(share(wanted, height), rows, "{wanted:?} in {height}");
        }
    }
}
