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
    let header = widgets::header::height(state, area.width);
    let [top, body, bottom] = split3(area, header, widgets::footer::HEIGHT);
    widgets::header::draw(state, &mut canvas, top);
    screens::draw(state, &mut canvas, body);
    widgets::footer::draw(state, &mut canvas, bottom);
    match &state.overlay {
        Some(Overlay::Help { scroll }) => overlays::help::draw(state, &mut canvas, body, *scroll),
        Some(Overlay::Palette { input, chosen }) => {
            overlays::palette::draw(state, &mut canvas, body, input, *chosen);
        }
        Some(Overlay::Explain { scroll }) => overlays::explain::draw(state, &mut canvas, body, *scroll),
        None => {}
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
