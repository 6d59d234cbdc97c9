//! The footer: the keys that matter, a message, or the filter that is being typed.

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::fleet::Way;
use crate::app::keymap::{ACTIONS, Action, ActionId, Group};
use crate::app::state::Screen;
use crate::ui::canvas::{Canvas, row, width};
use crate::ui::screens;

/// Rows.
pub(in crate::ui) const HEIGHT: u16 = 2;

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    views(state, canvas, row(area, 0));
    let line = row(area, 1);
    let theme = canvas.theme;
    if state.filter.editing || !state.filter.input.value().is_empty() {
        let mut x = canvas.spans(line, 1, &[("/", theme.key), (state.filter.input.value(), theme.strong)]);
        if state.filter.editing {
            x = canvas.text(line, x, " ", theme.selected.patch(theme.badge));
        }
        let (some, all) = match &state.fleet {
            Some(fleet) => (fleet.shown(state.filter.input.value()).len(), fleet.rows().len()),
            None => (state.rows().len(), state.view.members.len()),
        };
        let shown = format!("   {some} of {all} rows   ");
        x = canvas.text(line, x, &shown, theme.dim);
        canvas.text(
            line,
            x,
            if state.filter.editing { "enter keep   esc clear" } else { "esc clear" },
            theme.dim,
        );
        return;
    }
    if let Some(toast) = &state.toast {
        let style = if toast.is_error { theme.warning } else { theme.accent };
        canvas.text(line, 1, &toast.text, style);
        return;
    }
    // The way out keeps its place, however narrow it gets.
    let quit = state.keymap.keys(ActionId::Quit).first().map(|k| format!("{k} quit ")).unwrap_or_default();
    let room = Rect { width: canvas.right(line, &quit, theme.dim), ..line };
    let mut x = 1;
    // What moves a replay comes first in one, and is nowhere else.
    let moves = |a: &&Action| a.group == Group::Replay;
    let replay = ACTIONS.iter().filter(|a| moves(a) && state.replay.is_some());
    // So is what changes a cluster among many: none of it is for the fleet.
    let here = |a: &&Action| state.fleet.is_none() || a.unavailable(state).is_none();
    let rest = ACTIONS.iter().filter(|a| !moves(a) && a.id != ActionId::Quit).filter(here);
    for action in replay.chain(rest) {
        let (Some(word), Some(key)) = (action.footer, state.keymap.keys(action.id).first()) else { continue };
        let key = key.to_string();
        if x + width(&key) + width(word) + 3 > room.width {
            break;
        }
        let style = if action.unavailable(state).is_some() { theme.rule } else { theme.dim };
        x = canvas.spans(room, x, &[(&key, theme.key), (" ", theme.dim), (word, style), ("  ", theme.dim)]);
    }
}

/// The views with their keys, the open one marked.
fn views(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let rule = canvas.glyphs.rule.repeat(usize::from(area.width));
    canvas.text(area, 0, &rule, theme.rule);
    let titles = |title: fn(&screens::View) -> &'static str| -> Vec<_> {
        let of = |screen: &screens::View| {
            let keys = state.keymap.keys(ActionId::Show(screen.id));
            let key = keys.first().map(ToString::to_string).unwrap_or_default();
            (screen.id, format!(" {key} {}", title(screen)))
        };
        // The fleet is beside the views of a cluster, not among them.
        let here = |v: &&screens::View| (v.id == Screen::Fleet) == state.fleet.is_some();
        screens::TABLE.iter().filter(here).map(of).collect()
    };
    let needed =
        |titles: &[(Screen, String)], air: u16| titles.iter().map(|(_, t)| width(t) + air).sum::<u16>() + 1;
    let long = titles(|s| s.title);
    // Air between them where there is room.
    let air = if needed(&long, 1) <= area.width { " " } else { "" };
    let titles = if needed(&long, 0) <= area.width { long } else { titles(|s| s.short) };
    let mut x = 1;
    for (id, title) in &titles {
        let style = if *id == state.screen { theme.badge } else { theme.dim };
        x = canvas.text(area, x, &format!("{title}{air}"), style);
    }
    let inside = state.screen == Screen::Snapshots && state.shelf.opened.is_some();
    let back = match state.screen {
        Screen::Overview if state.way == Way::Back => " esc fleet ",
        Screen::Overview | Screen::Fleet => return,
        _ if inside => " esc folder ",
        _ => " esc overview ",
    };
    if x + width(back) + 2 < area.width {
        canvas.right(Rect { width: area.width - 1, ..area }, back, theme.dim);
    }
}
