//! The line of revisions: what a compaction took, what can be read and watched from, and what one revision gives.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::{ActionId, State};
use crate::model::coach::WatcherView;
use crate::model::revisions::{RevisionLine, Zone, shown};
use crate::model::units::{age, grouped};
use crate::model::{Outage, Revision};
use crate::ui::canvas::{Canvas, below, row, width, wrap};
use crate::ui::theme::Theme;
use crate::ui::widgets::header::rounded;

/// Heading, numbers, line, marks.
const GRAPHIC: u16 = 4;

type Sentence = (String, Style);

/// Rows that all of it takes.
pub(super) fn rows_wanted(state: &State, columns: u16) -> u16 {
    // The words decide, not their colours.
    let theme = Theme::of(state.look.theme);
    let lines = state.revisions().map_or(1, |line| sentences(state, line, columns, &theme).len());
    GRAPHIC + u16::try_from(lines).unwrap_or(1)
}

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let keys = |id| state.keymap.first(id);
    let title = format!(
        "Revisions: what can still be read and watched ({} {} move R)",
        keys(ActionId::Down),
        keys(ActionId::Up)
    );
    let inner = canvas.section(area, &title);
    let Some(line) = state.revisions() else {
        canvas.text(inner, 1, "no member told its revision yet", canvas.theme.dim);
        return;
    };
    let track = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    numbers(state, canvas, row(track, 0), line);
    zones(canvas, row(track, 1), line);
    marks(state, canvas, row(track, 2), line);
    let sentences = sentences(state, line, area.width, canvas.theme);
    let rest = below(inner, GRAPHIC - 1);
    for (y, (text, style)) in (0..rest.height).zip(&sentences) {
        canvas.text(row(rest, y), 1, text, *style);
    }
}

/// The cell of a share of the line.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a terminal's width
fn cell(share: f64, columns: u16) -> u16 {
    let last = columns.saturating_sub(1);
    ((share.clamp(0.0, 1.0) * f64::from(last)).round() as u16).min(last)
}

/// 1, the floor and the head above their places; what has no room is left out whole.
fn numbers(state: &State, canvas: &mut Canvas<'_>, area: Rect, line: RevisionLine) {
    let theme = canvas.theme;
    // The mean of a minute: of what takes no writes it would say that it does.
    let rate = state.history.revision_rate().filter(|r| *r >= 0.5 && state.verdict.kind.takes_writes());
    let rate = rate.map_or_else(String::new, |r| format!(" +{}/s", rounded(r)));
    let head = format!("head {}{rate}", shown(line.head));
    let end = cell(line.head_share(), area.width) + 1;
    let x = end.saturating_sub(width(&head));
    canvas.text(area, x, &head, theme.strong);
    let room = Rect { width: x.saturating_sub(2), ..area };
    let floor = match line.floor {
        None => "floor not known: no /metrics".to_owned(),
        Some(Revision(..=0)) => "nothing compacted yet".to_owned(),
        Some(floor) => format!("floor {}", shown(floor)),
    };
    let at = cell(line.floor_share(), area.width);
    let x = if at == 0 { canvas.text(room, 0, "1  ", theme.dim) } else { at };
    if x > 3 {
        canvas.text(room, 0, "1", theme.dim);
    }
    if x + width(&floor) <= room.width {
        canvas.text(room, x, &floor, if line.floor.is_some() { theme.strong } else { theme.warning });
    }
}

/// The line itself: gone, readable, to come.
fn zones(canvas: &mut Canvas<'_>, area: Rect, line: RevisionLine) {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let (floor, head) = (cell(line.floor_share(), area.width), cell(line.head_share(), area.width));
    for x in 0..area.width {
        let (glyph, style) = match x {
            _ if x == head => (glyphs.in_use, theme.strong),
            _ if x > head => (" ", theme.dim),
            _ if x == floor && line.gone() > 0 => (glyphs.side, theme.warning),
            _ if x < floor => (glyphs.free, theme.dim),
            _ => (glyphs.history, theme.in_use),
        };
        canvas.text(area, x, glyph, style);
    }
}

/// What points at the line: R, and a watcher of the lab.
fn marks(state: &State, canvas: &mut Canvas<'_>, area: Rect, line: RevisionLine) {
    let (theme, mark) = (canvas.theme, canvas.glyphs.points_up);
    let mut put = |at: Revision, letter: &str, style: Style| {
        let x = cell(line.share(at), area.width);
        canvas.text(area, x, mark, style);
        // Beside it, on the side where there is room.
        let beside = if x + 1 < area.width { x + 1 } else { x.saturating_sub(1) };
        canvas.text(area, beside, letter, style);
    };
    if let Some(watcher) = state.coach.as_ref().and_then(|c| c.watcher.as_ref()) {
        put(Revision(watcher.next_revision), "W", if watcher.paused { theme.warning } else { theme.good });
    }
    put(state.mark.unwrap_or(line.head), "R", theme.key);
}

fn sentences(state: &State, line: RevisionLine, columns: u16, theme: &Theme) -> Vec<Sentence> {
    let mut said = Vec::new();
    let mut say = |text: String, style: Style| {
        said.extend(wrap(&text, columns.saturating_sub(3)).into_iter().map(|l| (l, style)));
    };
    if state.view.outage() == Some(Outage::Unreachable) {
        let last = state.view.members.iter().filter_map(|m| m.status_at).max();
        let when = last.map_or_else(String::new, |at| {
            format!(" as of {}", at.to_zoned(state.zone.clone()).strftime("%H:%M:%S"))
        });
        say(format!("nobody answers now: what follows is{when}"), theme.warning);
    }
    let r = state.mark.unwrap_or(line.head);
    let zone = line.zone(r);
    let style = if zone == Zone::Gone { theme.warning } else { theme.text };
    let (watcher, read) = (line.watcher_gets(r), line.read_gets(zone));
    // Without a floor nobody knows what is gone: only that nothing else stands in the way.
    let unless = match (zone, line.floor) {
        (Zone::Readable, None) => ", unless it was compacted",
        _ => "",
    };
    say(format!("R {}: a watcher from it {watcher}{unless}", shown(r)), style);
    say(format!("a read at R {read}{unless}"), style);
    if let Some(watcher) = state.coach.as_ref().and_then(|c| c.watcher.as_ref()) {
        let style = if watcher.cancelled_at.is_some() { theme.warning } else { theme.text };
        say(of_the_lab(watcher, line), style);
    }
    say(zones_in_words(state, line), theme.dim);
    said
}

/// What the watcher of the lab is about.
fn of_the_lab(w: &WatcherView, line: RevisionLine) -> String {
    let next = Revision(w.next_revision);
    if let Some(floor) = w.cancelled_at {
        let floor = shown(Revision(floor));
        return format!("W, the watcher, asked for {}: cancelled, compact_revision {floor}", shown(next));
    }
    if w.paused {
        let would = line.watcher_gets(next);
        return format!("W, the watcher, sleeps; it will ask for {}: it {would}", shown(next));
    }
    let behind = line.head.0.saturating_add(1).saturating_sub(w.next_revision);
    let behind = u64::try_from(behind).unwrap_or_default();
    match behind {
        0 => format!("W, the watcher, has every event; the next is {}", shown(next)),
        n => format!("W, the watcher, is {} revisions behind; the next is {}", grouped(n), shown(next)),
    }
}

fn zones_in_words(state: &State, line: RevisionLine) -> String {
    let readable = grouped(line.readable());
    match line.floor {
        None => format!(
            "No /metrics: the compact revision is not known, and so not how many of the {readable} revisions are gone"
        ),
        Some(_) if line.head.0 <= 1 => "Nothing was written yet: the first change gets revision 2".into(),
        Some(_) if line.gone() == 0 => {
            format!("Nothing is gone: all {readable} revisions can be read, and all of them take room")
        }
        Some(floor) => {
            let written = written(state, floor).map_or_else(String::new, |w| format!(" (written {w})"));
            format!(
                "Below the floor{written}: {} revisions gone, but for each key's newest version; from it to the head: {readable} readable",
                grouped(line.gone())
            )
        }
    }
}

/// How long ago a revision was written, in steps that stand still on screen.
fn written(state: &State, r: Revision) -> Option<String> {
    let (old, exact) = state.history.age_of(r)?;
    let old = if old < Duration::from_secs(60) { "a minute".to_owned() } else { age(old) };
    Some(match (exact, old.as_str()) {
        (true, "a minute") => "within the last minute".to_owned(),
        (true, old) => format!("{old} ago"),
        // Before the first look: nothing is said within the first minute.
        (false, "a minute") => return None,
        (false, old) => format!("at least {old} ago"),
    })
}
