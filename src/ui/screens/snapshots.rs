//! 6: the folder of snapshots, and what one of them holds.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::nothing_shown;
use crate::app::shelf::name_of;
use crate::app::{ActionId, State};
use crate::model::units::{age, grouped};
use crate::snapshot::{Inspected, Saved};
use crate::ui::canvas::{Canvas, below, fit_middle, pad, row, width, wrap};
use crate::ui::theme::{Glyphs, Theme};
use crate::ui::widgets::inspected::{self, Line, Pen};
use crate::ui::widgets::{operation, rows};

/// Rows about the selected one, their heading included.
const ABOUT: u16 = 9;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if let Some((path, found)) = &state.shelf.opened {
        let inner = canvas.section(area, &name_of(path));
        match found {
            None => {
                canvas.text(inner, 1, "is being read", canvas.theme.dim);
            }
            Some(Err(why)) => {
                for (y, line) in (0..inner.height).zip(wrap(why, inner.width.saturating_sub(2))) {
                    canvas.text(row(inner, y), 1, &line, canvas.theme.bad);
                }
            }
            Some(Ok(found)) => {
                let saved = state.shelf.saved().iter().find(|s| s.path == *path);
                let damage = saved.and_then(|s| state.shelf.look(s)?.damages.first());
                let problem = saved.and_then(|s| s.problem.as_ref());
                let mut inner = inner;
                if let Some(wrong) = damage.or(problem) {
                    canvas.text(inner, 1, wrong, canvas.theme.bad);
                    inner = below(inner, 1);
                }
                opened(state, canvas, inner, found);
            }
        }
        return;
    }
    let mut area = area;
    if state.changes.running().is_some() {
        let height = operation::rows_wanted(state, area.width).min(area.height / 3);
        operation::draw(state, canvas, Rect { height, ..area });
        area = below(area, height + 1);
    }
    let saved = state.shelf.saved();
    let shown = state.shelf.rows(state.filter.input.value());
    let selected = state.selected_snapshot();
    let about = if selected.is_some() { ABOUT.min(area.height / 2) } else { 0 };
    let list = Rect { height: area.height - about, ..area };
    let part = rows::around(&shown, selected, usize::from(list.height.saturating_sub(3)));
    let free = match &state.shelf.place {
        Some(Ok(place)) => format!(", {} free", place.free),
        _ => String::new(),
    };
    let place = state.changes.snapshots.display();
    let title = format!("Snapshots in {place}{free}{}", rows::share(&shown, part));
    let inner = canvas.section(list, &title);
    match &state.shelf.listing {
        None => {
            canvas.text(inner, 1, "the folder is being read", canvas.theme.dim);
            return;
        }
        Some(Err(why)) => {
            canvas.text(inner, 1, why, canvas.theme.bad);
            return;
        }
        Some(Ok(_)) => {}
    }
    let key = |id: ActionId| state.keymap.first(id);
    if saved.is_empty() || shown.is_empty() {
        let save = format!("none yet: {} saves one", key(ActionId::Snapshot));
        let text = if saved.is_empty() { save.as_str() } else { nothing_shown(state, &save) };
        canvas.text(inner, 1, text, canvas.theme.dim);
    } else {
        let head =
            cells("AGE", "REVISION", "KEYS", "SIZE", area.width, canvas.glyphs) + "  VERIFIED     FILE";
        canvas.text(inner, 3, &head, canvas.theme.dim);
    }
    let mut y = 1;
    for i in part {
        entry(state, canvas, row(inner, y), &saved[*i], selected == Some(*i));
        y += 1;
    }
    for part in state.shelf.parts().iter().take(usize::from(inner.height.saturating_sub(y + 1))) {
        let why = if state.changes.running().is_some() {
            "is written now, or was left"
        } else {
            "was left, or is written by somebody"
        };
        let text = format!("{} {why}", name_of(part));
        canvas.text(row(inner, y), 1, &text, canvas.theme.warning);
        y += 1;
    }
    let hint = format!(
        "{} what it holds   {} verify   {} save   {} prune",
        key(ActionId::Open),
        key(ActionId::Verify),
        key(ActionId::Snapshot),
        key(ActionId::Prune)
    );
    if y < inner.height {
        canvas.text(row(inner, inner.height - 1), 1, &hint, canvas.theme.dim);
    }
    if let Some(i) = selected {
        details(state, canvas, below(area, list.height), &saved[i]);
    }
}

/// The columns before the word; keys only where there is room.
fn cells(old: &str, revision: &str, keys: &str, size: &str, columns: u16, glyphs: &Glyphs) -> String {
    let right = |text: &str, columns| pad(text, columns, true, glyphs.ellipsis);
    let keys = if columns < 100 { String::new() } else { format!(" {}", right(keys, 11)) };
    format!("{} {}{keys} {}", pad(old, 10, false, glyphs.ellipsis), right(revision, 13), right(size, 9))
}

/// How far it can be trusted: a glyph, a word, a style.
fn trust<'a>(
    state: &State,
    saved: &'a Saved,
    theme: &Theme,
    glyphs: &Glyphs,
) -> (&'static str, &'a str, Style) {
    if let Some(look) = state.shelf.look(saved) {
        let whole = look.damages.is_empty();
        return if whole {
            (glyphs.done, "full again", theme.good)
        } else {
            (glyphs.bad, "damaged", theme.bad)
        };
    }
    if state.shelf.verifying.as_ref().is_some_and(|(path, _)| *path == saved.path) {
        return (glyphs.waiting, "verifies", theme.accent);
    }
    match &saved.side {
        Some(side) if saved.problem.is_none() => (glyphs.done, side.verified.as_str(), theme.good),
        Some(_) => (glyphs.bad, "changed", theme.bad),
        None => (glyphs.warning, "never", theme.warning),
    }
}

fn entry(state: &State, canvas: &mut Canvas<'_>, line: Rect, saved: &Saved, selected: bool) {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let side = saved.side.as_ref();
    let unknown = || glyphs.dash.to_owned();
    let old = Duration::try_from(state.now.duration_since(saved.taken_at)).unwrap_or_default();
    let revision = side.and_then(|s| u64::try_from(s.revision.0).ok()).map_or_else(unknown, grouped);
    let keys = side.and_then(|s| s.status.as_ref()).map_or_else(unknown, |s| grouped(s.total_key));
    let bytes = saved.size.to_string();
    // Those of other clusters stand back.
    let ours = side.is_some_and(|s| s.cluster_id == state.view.cluster_id);
    let style = if ours { theme.text } else { theme.dim };
    if selected {
        canvas.text(line, 1, glyphs.cursor, theme.key);
    }
    let (mark, word, trusted) = trust(state, saved, theme, glyphs);
    let cells = cells(&age(old), &revision, &keys, &bytes, line.width, glyphs);
    let x = canvas.text(line, 3, &cells, style);
    let word = pad(word, 10, false, glyphs.ellipsis);
    let x = canvas.spans(line, x, &[("  ", style), (mark, trusted), (" ", style), (&word, trusted)]);
    let other = match line.width {
        _ if ours || side.is_none() => "",
        0..100 => " (other)",
        _ => " (of another cluster)",
    };
    // The end of a name tells the revision.
    let room = line.width.saturating_sub(x + 1 + width(other));
    let name = fit_middle(&name_of(&saved.path), room, glyphs.ellipsis);
    canvas.text(line, x, &format!(" {name}{other}"), style);
}

/// Everything about the selected one.
fn details(state: &State, canvas: &mut Canvas<'_>, area: Rect, saved: &Saved) {
    let theme = canvas.theme;
    let inner = canvas.section(area, &name_of(&saved.path));
    let mut lines: Vec<(&str, String, Style)> = Vec::new();
    let (_, _, trusted) = trust(state, saved, theme, canvas.glyphs);
    if let Some(problem) = &saved.problem {
        lines.push(("problem", problem.clone(), trusted));
    }
    if let Some(look) = state.shelf.look(saved) {
        let ago = Duration::try_from(state.clock.duration_since(look.at)).unwrap_or_default();
        match look.damages.as_slice() {
            [] => lines.push((
                "verified",
                format!("{} ago: every byte was read and checked", age(ago)),
                theme.good,
            )),
            damages => {
                for damage in damages.iter().take(3) {
                    lines.push(("damaged", damage.clone(), theme.bad));
                }
            }
        }
    }
    let time = saved.taken_at.to_zoned(state.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    match &saved.side {
        None => lines.push(("written", time, theme.text)),
        Some(side) => {
            let from = side.members.iter().find(|m| m.id == Some(side.taken_from));
            let from = from.map_or_else(|| side.taken_from.to_string(), |m| m.name.clone());
            let from = crate::model::text::printable(&from).into_owned();
            let version = side.etcd_version.as_ref().map_or_else(String::new, |v| format!(", etcd {v}"));
            lines.push(("taken", format!("{time} from {from}{version}"), theme.text));
            let how = match side.verified.as_str() {
                "fast" => "fast, before it got its name: ends, branches, newest revision",
                "full" => "full, before it got its name: every byte",
                "drill" => "drill: it was restored, and a real etcd ran from it",
                other => other,
            };
            lines.push(("verified", how.to_owned(), theme.text));
            let cluster = side.cluster_id.map_or_else(|| "not known".to_owned(), |id| id.to_string());
            let members: Vec<_> =
                side.members.iter().map(|m| crate::model::text::printable(&m.name).into_owned()).collect();
            lines.push(("cluster", format!("{cluster}: {}", members.join(", ")), theme.text));
            // What somebody who copied it can compare; etcd's own checksum leaves itself out.
            match &side.file_sha256 {
                Some(sum) => lines.push(("sha256sum", sum.clone(), theme.dim)),
                None => lines.push(("checksum", side.sha256.clone(), theme.dim)),
            }
        }
    }
    let command = format!("etcdtop snapshot restore-plan {}", saved.path.display());
    let room = inner.width.saturating_sub(11);
    lines.push(("restore", fit_middle(&command, room, canvas.glyphs.ellipsis), theme.dim));
    for (y, (label, text, style)) in (0..inner.height).zip(lines) {
        let line = row(inner, y);
        canvas.text(line, 1, label, theme.dim);
        canvas.text(line, 11, &text, style);
    }
}

fn pen<'a>(theme: &'a Theme, glyphs: &'a Glyphs, area: Rect) -> Pen<'a> {
    Pen { theme, glyphs, columns: area.width.saturating_sub(2) }
}

fn opened(state: &State, canvas: &mut Canvas<'_>, area: Rect, found: &Inspected) {
    let lines: Vec<Line> = inspected::lines(pen(canvas.theme, canvas.glyphs, area), found);
    let skip = usize::from(state.scroll);
    // The last row tells that there is more.
    let rows = area.height.saturating_sub(u16::from(lines.len() > usize::from(area.height)));
    for (y, line) in (0..rows).zip(lines.iter().skip(skip)) {
        let at = row(area, y);
        let mut x = 1;
        for (text, style) in line {
            x = canvas.text(at, x, text, *style);
        }
    }
    if lines.len() > skip + usize::from(area.height) {
        let (down, up) = (state.keymap.first(ActionId::Down), state.keymap.first(ActionId::Up));
        canvas.right(
            row(area, area.height.saturating_sub(1)),
            &format!(" {down} {up} scroll "),
            canvas.theme.accent,
        );
    }
}

/// How far what is open can be scrolled.
pub(super) fn most_scroll(state: &State, theme: &Theme, glyphs: &Glyphs, area: Rect) -> u16 {
    let Some((_, Some(Ok(found)))) = &state.shelf.opened else { return 0 };
    let lines = inspected::lines(pen(theme, glyphs, area), found).len();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(3))
}
