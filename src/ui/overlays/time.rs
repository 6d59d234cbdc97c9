//! Where the time is typed that a replay goes to.

use ratatui::layout::Rect;
use tui_input::Input;

use crate::app::State;
use crate::ui::canvas::{Canvas, fit_middle, row};

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, input: &Input) {
    let inner = canvas.popup(area, 56, 7, "Go to (enter goes, esc closes)");
    let theme = canvas.theme;
    let before: String = input.value().chars().take(input.cursor()).collect();
    let mut after = input.value().chars().skip(input.cursor());
    let under = after.next().map_or_else(|| " ".to_owned(), |c| c.to_string());
    let rest: String = after.collect();
    canvas.spans(row(inner, 0), 0, &[(&before, theme.strong), (&under, theme.badge), (&rest, theme.strong)]);
    canvas.text(row(inner, 2), 0, "14:02:30   +5m   -30s   50%", theme.dim);
    if let Some(replay) = &state.replay {
        let name =
            fit_middle(&crate::model::text::printable(&replay.name), inner.width, canvas.glyphs.ellipsis);
        canvas.text(row(inner, 4), 0, &name, theme.dim);
        let shown =
            |at: jiff::Timestamp| at.to_zoned(state.zone.clone()).strftime("%m-%d %H:%M:%S").to_string();
        if let Ok(from) = replay.clock.checked_sub(replay.player.at)
            && let Ok(to) = from.checked_add(replay.length)
        {
            canvas.text(
                row(inner, 3),
                0,
                &format!("it goes from {} to {}", shown(from), shown(to)),
                theme.dim,
            );
        }
    }
}
