//! A history as columns: allocated and in use, newest at the right.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;

use crate::model::Bytes;
use crate::model::units::age;
use crate::poll::history::{FINE_SPAN, Sample};
use crate::ui::canvas::{Canvas, row};

/// The window that is filled best by what is known: a minute, five, or a quarter of an hour.
pub(in crate::ui) fn window(samples: &VecDeque<Sample>, now: Timestamp) -> Duration {
    let known = samples
        .front()
        .map_or(Duration::ZERO, |s| Duration::try_from(now.duration_since(s.at)).unwrap_or_default());
    match known.as_secs() {
        0..=75 => Duration::from_secs(60),
        76..=330 => Duration::from_secs(300),
        _ => FINE_SPAN,
    }
}

/// Draws the last `span` of a ring. Needs four rows and twenty columns to say anything.
pub(in crate::ui) fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    samples: &VecDeque<Sample>,
    now: Timestamp,
    span: Duration,
) {
    if area.height < 3 || area.width < 24 {
        return;
    }
    let theme = canvas.theme;
    let top = samples.iter().filter_map(|s| s.db_size).max().unwrap_or_default();
    if top == Bytes(0) {
        canvas.text(area, 0, "no figures yet", theme.dim);
        return;
    }
    let labels = 10;
    let plot = Rect { x: area.x + labels, width: area.width - labels, height: area.height - 1, ..area };
    canvas.text(area, 0, &format!("{:>9}", top.to_string()), theme.dim);
    canvas.text(row(area, area.height - 2), 0, &format!("{:>9}", "0"), theme.dim);
    for column in 0..plot.width {
        let Some(sample) = at_column(samples, now, span, column, plot.width) else { continue };
        let eighths = |b: Option<Bytes>| b.map_or(0, |b| height(b.share_of(top), plot.height));
        let (size, used) = (eighths(sample.db_size), eighths(sample.in_use));
        for line in 0..plot.height {
            // Counted from the bottom.
            let floor = u32::from(plot.height - 1 - line) * 8;
            let at = Rect { x: plot.x + column, y: plot.y + line, width: 1, height: 1 };
            if used > floor {
                let level = usize::try_from((used - floor).min(8)).unwrap_or(8);

                canvas.text(at, 0, canvas.glyphs.levels[level], theme.in_use);
            } else if size > floor {
                canvas.text(at, 0, canvas.glyphs.reclaimable, theme.reclaimable);
            }
        }
    }
    let axis = row(area, area.height - 1);
    canvas.text(axis, labels, &format!("{} ago", age(span)), theme.dim);
    canvas.right(axis, "now", theme.dim);
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // shares of a terminal's height
fn height(share: f64, rows: u16) -> u32 {
    let full = f64::from(rows) * 8.0;
    (share.clamp(0.0, 1.0) * full).round().max(1.0) as u32
}

/// The newest sample that falls into a column, or the last one before it: figures stand until the next poll.
fn at_column(
    samples: &VecDeque<Sample>,
    now: Timestamp,
    span: Duration,
    column: u16,
    columns: u16,
) -> Option<&Sample> {
    let slot = span / u32::from(columns);
    let newest = slot * u32::from(columns - 1 - column);
    let oldest = newest + slot;
    let ago = |s: &Sample| Duration::try_from(now.duration_since(s.at)).unwrap_or_default();

    // A member that was silent for longer leaves a gap.
    let stands = oldest.max(newest + Duration::from_secs(3));
    samples.iter().rev().find(|s| ago(s) >= newest).filter(|s| ago(s) < stands)
}

/// One line of levels for figures up to `most`, newest at the right; nothing where nothing is known.
pub(in crate::ui) fn sparkline(canvas: &mut Canvas<'_>, area: Rect, figures: &[Option<f64>], most: f64) {
    for (x, figure) in (0..area.width).zip(figures) {
        let Some(figure) = figure else { continue };
        let level =
            if most > 0.0 { usize::try_from(height(figure / most, 1)).unwrap_or(8).min(8) } else { 1 };
        canvas.text(area, x, canvas.glyphs.levels[level], canvas.theme.accent);
    }
}
