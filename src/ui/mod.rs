//! Pure drawing: `draw(&State, Rect, &mut Buffer)`. Changes nothing, knows no terminal.

mod canvas;
mod overlays;
mod screens;
mod theme;
mod widgets;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::State;
use crate::app::state::Overlay;
use crate::app::update::LEAST;
use canvas::Canvas;
use theme::{Glyphs, Theme};

/// Draws the whole dashboard.
pub fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let theme = Theme::of(state.look.theme);
    let glyphs = Glyphs::of(state.look.ascii);
    let mut canvas = Canvas::new(buffer, &theme, &glyphs);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}x{}: needs {}x{}; q quits", area.width, area.height, LEAST.0, LEAST.1);
        canvas.text(area, 0, &text, theme.text);
        return;
    }
    let [top, body, bottom] = parts(state, area);
    if let Some(fleet) = &state.fleet {
        screens::fleet::header(state, fleet, &mut canvas, top);
    } else {
        widgets::header::draw(state, &mut canvas, top);
    }
    let (view, coach) = widgets::coach::split(state, body);
    screens::draw(state, &mut canvas, view);
    if let Some(place) = coach {
        widgets::coach::draw(state, &mut canvas, place, body);
    }
    widgets::replay::draw(state, &mut canvas, canvas::row(bottom, 0));
    widgets::footer::draw(state, &mut canvas, canvas::below(bottom, widgets::replay::height(state)));
    match &state.overlay {
        Some(Overlay::Help { scroll }) => overlays::help::draw(state, &mut canvas, body, *scroll),
        Some(Overlay::Palette { input, chosen }) => {
            overlays::palette::draw(state, &mut canvas, body, input, *chosen);
        }
        Some(Overlay::Plan(dialog)) => overlays::plan::draw(state, &mut canvas, body, dialog),
        Some(Overlay::Prune(prune)) => overlays::prune::draw(state, &mut canvas, body, prune),
        Some(Overlay::Leave) => overlays::plan::leave(state, &mut canvas, body),
        Some(Overlay::Acts(acts)) => overlays::coach::acts(&mut canvas, body, acts),
        Some(Overlay::Coach { scroll }) => overlays::coach::draw(state, &mut canvas, body, *scroll),
        Some(Overlay::Time { input }) => overlays::time::draw(state, &mut canvas, body, input),
        Some(Overlay::Explain { scroll, .. }) => overlays::explain::draw(state, &mut canvas, body, *scroll),
        None => {}
    }
}

/// Header, body, footer.
fn parts(state: &State, area: Rect) -> [Rect; 3] {
    let bottom = widgets::footer::HEIGHT + widgets::replay::height(state);
    let top = if state.fleet.is_some() {
        screens::fleet::HEADER
    } else {
        widgets::header::height(state, area.width)
    };
    split3(area, top, bottom)
}

/// How far what lies open can be scrolled, on a terminal of the state's size. The loop keeps the state within it, or
/// somebody who went too far would have to come all the way back unseen.
#[must_use]
pub fn most_scroll(state: &State) -> u16 {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    let [_, body, _] = parts(state, area);
    let theme = Theme::of(state.look.theme);
    match &state.overlay {
        Some(Overlay::Help { .. }) => overlays::help::most_scroll(state, body),
        Some(Overlay::Explain { .. }) => overlays::explain::most_scroll(state, &theme, body),
        Some(Overlay::Plan(dialog)) => {
            overlays::plan::most_scroll(dialog, &theme, &Glyphs::of(state.look.ascii), body)
        }
        Some(Overlay::Prune(prune)) => overlays::prune::most_scroll(prune, body),
        Some(Overlay::Coach { .. }) => {
            overlays::coach::most_scroll(state, &theme, &Glyphs::of(state.look.ascii), body)
        }
        None => {
            let (view, _) = widgets::coach::split(state, body);
            screens::most_scroll(state, &theme, &Glyphs::of(state.look.ascii), view)
        }
        Some(Overlay::Palette { .. } | Overlay::Leave | Overlay::Acts(_) | Overlay::Time { .. }) => 0,
    }
}

/// Top and bottom of fixed height, the rest between them.
fn split3(area: Rect, top: u16, bottom: u16) -> [Rect; 3] {
    let top = top.min(area.height);
    let bottom = bottom.min(area.height - top);
    let middle = area.height - top - bottom;
    [
        Rect { height: top, ..area },
        Rect { y: area.y + top, height: middle, ..area },
        Rect { y: area.y + top + middle, height: bottom, ..area },
    ]
}

#[cfg(test)]
mod tests;
