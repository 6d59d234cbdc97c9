//! What lies over the view and takes the keys: help, palette, explanations, dialogs.

use tui_input::InputRequest;

use super::key::{Key, KeyCode};
use super::keymap::ActionId;
use super::operation;
use super::palette;
use super::state::{Overlay, State};
use super::update::{Effect, perform};

/// Opens what explains the view, or the plan that lies over it.
pub(super) fn explain(state: &mut State) {
    let under = state.overlay.take().map(Box::new);
    state.overlay = Some(Overlay::Explain { scroll: 0, under });
}

/// Back to what lay under it.
fn close(state: &mut State) {
    state.overlay = match state.overlay.take() {
        Some(Overlay::Explain { under: Some(under), .. }) => Some(*under),
        _ => None,
    };
}

/// The wheel.
pub(super) fn scroll_by(overlay: &mut Overlay, rows: i16) {
    let scroll = match overlay {
        Overlay::Help { scroll } | Overlay::Explain { scroll, .. } | Overlay::Coach { scroll } => scroll,
        Overlay::Plan(dialog) => &mut dialog.scroll,
        Overlay::Prune(prune) => &mut prune.scroll,
        Overlay::Palette { .. } | Overlay::Leave | Overlay::Acts(_) | Overlay::Time { .. } => return,
    };
    *scroll = scroll.saturating_add_signed(rows);
}

/// A key while something lies over the view.
pub(super) fn in_overlay(state: &mut State, key: Key) -> Vec<Effect> {
    let closes = matches!(
        state.keymap.action(key),
        Some(ActionId::Back | ActionId::Quit | ActionId::Help | ActionId::Explain)
    );
    let act = state.keymap.action(key);
    match &mut state.overlay {
        Some(overlay @ (Overlay::Help { .. } | Overlay::Explain { .. } | Overlay::Coach { .. })) => {
            let (scroll, coach) = match overlay {
                Overlay::Coach { scroll } => (scroll, true),
                Overlay::Help { scroll } | Overlay::Explain { scroll, .. } => (scroll, false),
                _ => return Vec::new(),
            };
            if closes || coach && act == Some(ActionId::Coach) {
                close(state);
            } else {
                *scroll = match act {
                    Some(ActionId::Down) => scroll.saturating_add(1),
                    Some(ActionId::Up) => scroll.saturating_sub(1),
                    Some(ActionId::PageDown) => scroll.saturating_add(10),
                    Some(ActionId::PageUp) => scroll.saturating_sub(10),
                    Some(ActionId::First) => 0,
                    Some(ActionId::Last) => u16::MAX,
                    _ => *scroll,
                };
            }
            Vec::new()
        }
        Some(Overlay::Palette { input, chosen }) => {
            let found = palette::matches(input.value());
            match key.code {
                KeyCode::Esc => state.overlay = None,
                KeyCode::Enter => {
                    let picked = found.get(*chosen).map(|a| a.id);
                    state.overlay = None;
                    if let Some(id) = picked {
                        return perform(state, id);
                    }
                }
                KeyCode::Tab => {
                    if let Some(action) = found.get(*chosen) {
                        *input = tui_input::Input::new(action.name.to_owned());
                        *chosen = 0;
                    }
                }
                KeyCode::Down => *chosen = (*chosen + 1).min(found.len().saturating_sub(1)),
                KeyCode::Up => *chosen = chosen.saturating_sub(1),
                _ => {
                    if let Some(request) = edit(key) {
                        input.handle(request);
                        *chosen = 0;
                    }
                }
            }
            Vec::new()
        }
        // Where text is typed it is a letter.
        Some(Overlay::Plan(dialog)) if act == Some(ActionId::Explain) && !dialog.types() => {
            explain(state);
            Vec::new()
        }
        Some(Overlay::Plan(_)) => operation::in_dialog(state, key),
        Some(Overlay::Prune(_)) => super::prune::in_dialog(state, key),
        Some(Overlay::Acts(_)) => super::coach::in_acts(state, key),
        Some(Overlay::Leave) => operation::in_leave(state, key),
        Some(Overlay::Time { .. }) => super::replay::in_time(state, key),
        None => Vec::new(),
    }
}

/// What a key does in an input line.
pub(super) const fn edit(key: Key) -> Option<InputRequest> {
    Some(match (key.code, key.ctrl) {
        (KeyCode::Char('u'), true) => InputRequest::DeleteLine,
        (KeyCode::Char('w'), true) => InputRequest::DeletePrevWord,
        (KeyCode::Char('a'), true) | (KeyCode::Home, _) => InputRequest::GoToStart,
        (KeyCode::Char('e'), true) | (KeyCode::End, _) => InputRequest::GoToEnd,
        (KeyCode::Char(c), false) => InputRequest::InsertChar(c),
        (KeyCode::Backspace, _) => InputRequest::DeletePrevChar,
        (KeyCode::Delete, _) => InputRequest::DeleteNextChar,
        (KeyCode::Left, _) => InputRequest::GoToPrevChar,
        (KeyCode::Right, _) => InputRequest::GoToNextChar,
        _ => return None,
    })
}

/// Pasted text goes into an open input line and nowhere else: it never is a command.
pub(super) fn on_paste(state: &mut State, text: &str) {
    let input = match &mut state.overlay {
        Some(Overlay::Palette { input, .. } | Overlay::Time { input }) => input,
        Some(Overlay::Plan(dialog)) => return dialog.paste(text),
        None if state.filter.editing => &mut state.filter.input,
        _ => return,
    };
    for c in text.chars().filter(|c| !c.is_control()).take(200) {
        input.handle(InputRequest::InsertChar(c));
    }
}
