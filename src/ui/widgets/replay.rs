//! The bar of a replay: what it does, when that was, how far it is, what happened where, and what comes next.

use std::time::Duration;

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::replay::Replay;
use crate::model::Severity;
use crate::model::units::age;
use crate::ui::canvas::{Canvas, width};

/// Rows: one, and none without a replay.
pub(in crate::ui) fn height(state: &State) -> u16 {
    u16::from(state.replay.is_some())
}

/// Columns of the line with the marks, at least.
const LEAST: u16 = 12;

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(replay) = &state.replay else { return };
    let theme = canvas.theme;
    let glyph = canvas.glyphs.player(replay.player.playing);
    let when = replay.clock.to_zoned(state.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let place = format!("{}/{}", clock(replay.player.at), clock(replay.length));
    let mut x = canvas.spans(
        area,
        1,
        &[
            (glyph, theme.key),
            (" ", theme.text),
            (&format!("{:<4}", replay.player.speed_shown()), theme.strong),
            (" ", theme.text),
            (&when, theme.strong),
            ("  ", theme.text),
            (&place, theme.dim),
            ("  ", theme.text),
        ],
    );
    let told = told(replay);
    let room = area.width.saturating_sub(x + 1);
    // The words have what is left of a line of a third.
    let words = width(&told).min(room.saturating_sub((room / 3).max(LEAST) + 2));
    let line = if words >= LEAST { room - words - 2 } else { room };
    if line >= 4 {
        scrubber(replay, canvas, Rect { x: area.x + x, width: line, ..area });
        x += line + 2;
    }
    if words >= LEAST {
        let told = canvas.fit(&told, words);
        canvas.text(area, x, &told, theme.dim);
    }
}

/// What it waits for, or what comes next.
fn told(replay: &Replay) -> String {
    if let Some(to) = replay.seeking.filter(|to| *to > replay.read) {
        return format!("reads up to {}, is at {}", clock(to), clock(replay.read));
    }
    if let Some(gap) = replay.gap() {
        return format!("nothing was recorded for {}", age(gap));
    }
    match replay.after() {
        Some(mark) => format!("next: {}", mark.line),
        None if replay.follows && replay.at_end() => "as it is now".into(),
        None => String::new(),
    }
}

/// `3:20`, `1:03:20`.
fn clock(d: Duration) -> String {
    let s = d.as_secs();
    if s < 3_600 {
        format!("{}:{:02}", s / 60, s % 60)
    } else {
        format!("{}:{:02}:{:02}", s / 3_600, s % 3_600 / 60, s % 60)
    }
}

/// A line as long as the recording: the part that was played, the worst event of each column, and where it is.
fn scrubber(replay: &Replay, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let column = |at: Duration| {
        let share = at.as_secs_f64() / replay.length.as_secs_f64().max(1e-3);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a column of the line
        let x = (share.clamp(0.0, 1.0) * f64::from(area.width - 1)).round() as u16;
        x
    };
    let (here, read) = (column(replay.player.at), column(replay.read));
    for x in 0..area.width {
        let (glyph, style) = match x {
            x if x < here => (canvas.glyphs.rule, theme.accent),
            x if x <= read => (canvas.glyphs.rule, theme.dim),
            _ => (canvas.glyphs.note, theme.rule),
        };
        canvas.text(area, x, glyph, style);
    }
    let mut worst: Vec<Option<Severity>> = vec![None; area.width.into()];
    for mark in &replay.marks {
        let slot = &mut worst[usize::from(column(mark.at))];
        *slot = (*slot).max(Some(mark.severity));
    }
    for (x, severity) in (0..).zip(worst) {
        if let Some(severity) = severity {
            canvas.text(area, x, canvas.glyphs.severity(severity), theme.severity(severity));
        }
    }
    let at = Rect { x: area.x + here, width: 1, ..area };
    canvas.shade(at, theme.badge);
}
