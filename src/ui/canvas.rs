//! Writing into a buffer without ever leaving the area: widths in columns, text cut with an ellipsis.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme::{Glyphs, Theme};

/// A buffer with the theme to draw in.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    pub(super) theme: &'a Theme,
    pub(super) glyphs: &'a Glyphs,
}

/// The columns that a text takes.
pub(super) fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

impl<'a> Canvas<'a> {
    pub(super) const fn new(buffer: &'a mut Buffer, theme: &'a Theme, glyphs: &'a Glyphs) -> Self {
        Self { buffer, theme, glyphs }
    }

    /// The text cut to `columns`, with an ellipsis if something was cut.
    pub(super) fn fit(&self, text: &str, columns: u16) -> String {
        fit(text, columns, self.glyphs.ellipsis)
    }

    /// Writes at column `x` of the first row of `area`; the column after the text.
    pub(super) fn text(&mut self, area: Rect, x: u16, text: &str, style: Style) -> u16 {
        if area.height == 0 || x >= area.width {
            return x;
        }
        let shown = self.fit(text, area.width - x);
        if area.y < self.buffer.area.bottom() {
            self.buffer.set_stringn(area.x + x, area.y, &shown, usize::from(area.width - x), style);
        }
        x + width(&shown)
    }

    /// Writes pieces one after the other; the column after them.
    pub(super) fn spans(&mut self, area: Rect, x: u16, spans: &[(&str, Style)]) -> u16 {
        spans.iter().fold(x, |x, (text, style)| self.text(area, x, text, *style))
    }

    /// Writes at the right end of the first row of `area`; the column where it begins.
    pub(super) fn right(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let x = area.width.saturating_sub(width(text));
        self.text(area, x, text, style);
        x
    }

    /// A heading with a rule; what is left below it.
    pub(super) fn section(&mut self, area: Rect, title: &str) -> Rect {
        if area.height == 0 {
            return area;
        }
        let x = self.text(area, 0, self.glyphs.rule, self.theme.rule);
        let x = self.text(area, x, " ", self.theme.rule);
        let x = self.text(area, x, title, self.theme.strong);
        let x = self.text(area, x, " ", self.theme.rule);
        let rest = self.glyphs.rule.repeat(usize::from(area.width.saturating_sub(x)));
        self.text(area, x, &rest, self.theme.rule);
        below(area, 1)
    }

    /// Paints the background of an area, keeping its text.
    pub(super) fn shade(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Empties an area.
    pub(super) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// An emptied box with a heading, in the middle of `area`; its inside.
    pub(super) fn popup(&mut self, area: Rect, columns: u16, rows: u16, title: &str) -> Rect {
        let (columns, rows) = (columns.min(area.width), rows.min(area.height));
        let frame = Rect {
            x: area.x + (area.width - columns) / 2,
            y: area.y + (area.height - rows) / 2,
            width: columns,
            height: rows,
        };
        self.clear(frame);
        if frame.height < 2 || frame.width < 6 {
            return Rect { height: 0, ..frame };
        }
        let [upper_left, upper_right, lower_left, lower_right] = self.glyphs.corners;
        let (side, rule) = (self.glyphs.side, self.glyphs.rule);
        let style = self.theme.dim;
        let dashes = rule.repeat(usize::from(columns - 2));
        self.text(frame, 0, &format!("{upper_left}{dashes}{upper_right}"), style);
        let bottom = row(frame, frame.height - 1);
        self.text(bottom, 0, &format!("{lower_left}{dashes}{lower_right}"), style);
        for y in 1..frame.height - 1 {
            let line = row(frame, y);
            self.text(line, 0, side, style);
            self.right(line, side, style);
        }
        let title = format!(" {title} ");
        self.text(Rect { width: frame.width - 2, ..frame }, 2, &title, self.theme.strong);
        Rect { x: frame.x + 2, y: frame.y + 1, width: frame.width - 4, height: frame.height - 2 }
    }
}

/// `area` without its first `rows`.
pub(super) fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}

/// The row `index` of `area`; of no height when it has not so many.
pub(super) fn row(area: Rect, index: u16) -> Rect {
    if index < area.height {
        Rect { y: area.y + index, height: 1, ..area }
    } else {
        Rect { height: 0, ..area }
    }
}

/// The text cut to `columns`, with an ellipsis if something was cut.
pub(super) fn fit(text: &str, columns: u16, ellipsis: &str) -> String {
    let columns = usize::from(columns);
    if text.width() <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        out.push(c);
        used += w;
    }
    out.push_str(ellipsis);
    out
}

/// The text cut to `columns` in its middle: what tells two long names apart stands at their ends.
pub(super) fn fit_middle(text: &str, columns: u16, ellipsis: &str) -> String {
    let room = usize::from(columns).saturating_sub(ellipsis.width());
    if text.width() <= usize::from(columns) {
        return text.to_owned();
    }
    let head = fit_columns(text.chars(), room / 2);
    let tail: String = fit_columns(text.chars().rev(), room - room / 2).chars().rev().collect();
    head + ellipsis + &tail
}

/// As many characters as fit.
fn fit_columns(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// Text padded to `columns`, to the left or to the right.
pub(super) fn pad(text: &str, columns: u16, right: bool, ellipsis: &str) -> String {
    let shown = fit(text, columns, ellipsis);
    let space = " ".repeat(usize::from(columns.saturating_sub(width(&shown))));
    if right { space + &shown } else { shown + &space }
}

/// Words of a text in lines of at most `columns`.
pub(super) fn wrap(text: &str, columns: u16) -> Vec<String> {
    let columns = usize::from(columns.max(1));
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
