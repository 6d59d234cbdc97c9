//! 9: what etcd does inside: the line of revisions, the pages of each file, the log on each member. Only what members
//! report; what is not known is said.

mod log;
mod pages;
mod revisions;

use ratatui::layout::Rect;

use super::nothing_shown;
use crate::app::State;
use crate::model::{MemberView, Role};
use crate::ui::canvas::{Canvas, below};
use crate::ui::widgets::rows;

/// Heading, numbers, line, marks and what a watcher gets: less of the revisions says nothing.
const LEAST_REVISIONS: u16 = 5;
/// Rows of a section that are no member's: heading, head of the table.
const LOG_HEAD: u16 = 2;
const PAGES_HEAD: u16 = 1;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let shown = state.rows();
    if shown.is_empty() {
        canvas.text(area, 1, nothing_shown(state, "no member is known yet"), canvas.theme.dim);
        return;
    }
    // Pages and log show the same rows: as many as fit, around the selected one.
    let least = |members: usize| LEAST_REVISIONS + PAGES_HEAD + LOG_HEAD + 2 * height(members);
    let mut part = shown.as_slice();
    while part.len() > 1 && least(part.len()) > area.height {
        part = rows::around(&shown, state.selected_row(), part.len() - 1);
    }
    let spare = area.height.saturating_sub(least(part.len()));
    // First blank rows between, then sentences, then what happened to the pages.
    let gap = u16::from(spare >= 2);
    let spare = spare - 2 * gap;
    let more = revisions::rows_wanted(state, area.width).saturating_sub(LEAST_REVISIONS).min(spare);
    let each = ((spare - more) / height(part.len()).max(1)).min(pages::most_lines(state, part));
    let of_all = rows::share(&shown, part);

    let revisions = LEAST_REVISIONS + more;
    revisions::draw(state, canvas, Rect { height: revisions.min(area.height), ..area });
    let rest = below(area, revisions + gap);
    let pages = PAGES_HEAD + height(part.len()) * (1 + each);
    pages::draw(state, canvas, Rect { height: pages.min(rest.height), ..rest }, part, each, &of_all);
    log::draw(state, canvas, below(rest, pages + gap), part, &of_all);
}

fn height(members: usize) -> u16 {
    u16::try_from(members).unwrap_or(u16::MAX / 8)
}

/// The columns of a member's name, and of what it is.
fn lead(state: &State) -> u16 {
    names(state) + 4 + role_width(state)
}

fn names(state: &State) -> u16 {
    rows::names_width(state, 4, 20)
}

/// A leader's star; where there is a learner, the word.
fn role_width(state: &State) -> u16 {
    if state.view.members.iter().any(|m| m.role == Role::Learner) { 8 } else { 2 }
}

/// Name, role and the mark of the selection.
fn member(state: &State, canvas: &mut Canvas<'_>, line: Rect, index: usize) {
    let (theme, glyphs) = (canvas.theme, canvas.glyphs);
    let m = &state.view.members[index];
    let names = names(state);
    if state.selected_row() == Some(index) {
        canvas.text(line, 1, glyphs.cursor, theme.key);
    }
    canvas.text(line, 3, &rows::name(state, m, names, glyphs.ellipsis), theme.strong);
    let room = Rect { width: line.width.min(lead(state)), ..line };
    match m.role {
        Role::Leader => canvas.text(room, names + 4, glyphs.leader, theme.accent),
        Role::Learner => canvas.text(room, names + 4, "learner", theme.dim),
        _ => 0,
    };
}

/// Why a member's figures are not of now: `hung, as of 08:00:03`.
fn old(state: &State, m: &MemberView) -> Option<String> {
    if m.state.answers() {
        return None;
    }
    let at = m.status_at.map(|t| t.to_zoned(state.zone.clone()).strftime("%H:%M:%S").to_string());
    Some(at.map_or_else(|| m.state.shown().to_owned(), |at| format!("{}, as of {at}", m.state.shown())))
}
