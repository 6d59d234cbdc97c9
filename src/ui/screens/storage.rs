//! 3: sizes, quota, history, revisions kept.

use std::time::Duration;

use ratatui::layout::Rect;

use super::member::bar_line;
use super::nothing_shown;
use crate::app::State;
use crate::diagnose::forecast::{self, Outlook};
use crate::diagnose::{Case, kept};
use crate::model::units::{age, bytes, grouped, percent};
use crate::model::{MemberStatus, MemberView, Revision};
use crate::poll::history::{FINE_SPAN, Ring};
use crate::ui::canvas::{Canvas, below, row, width};
use crate::ui::widgets::bar::common_whole;
use crate::ui::widgets::{chart, rows};

/// Rows of growth and revisions, their heading included.
const FACTS: u16 = 8;

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if state.rows().is_empty() {
        canvas.text(area, 1, nothing_shown(state, "no member is known yet"), canvas.theme.dim);
        return;
    }
    let theme = canvas.theme;
    let g = canvas.glyphs;
    let legend =
        format!("Files: in use {} reclaimable {} up to the quota {}", g.in_use, g.reclaimable, g.free);
    let shown = state.rows();
    // Two rows each, around the selected one; growth and revisions keep their place.
    let selected = state.selected_row();
    let part = rows::around(&shown, selected, usize::from(area.height.saturating_sub(FACTS + 2) / 2));
    let bars = u16::try_from(part.len() * 2 + 1).unwrap_or(u16::MAX);
    let legend = legend + &rows::share(&shown, part);
    let inner = canvas.section(Rect { height: bars.min(area.height), ..area }, &legend);
    let names = rows::names_width(state, 4, 20);
    let whole = common_whole(&state.view.members);
    for (y, i) in (0_u16..).step_by(2).zip(part) {
        let m = &state.view.members[*i];
        let line = row(inner, y);
        canvas.text(line, 3, &rows::name(state, m, names, canvas.glyphs.ellipsis), theme.strong);
        bar_line(
            canvas,
            Rect { x: line.x + names + 4, width: line.width.saturating_sub(names + 5), ..line },
            m,
            whole,
        );
        let below = row(inner, y + 1);
        let separator = format!(" {} ", g.dot);
        let text = figures(state, m, below.width.saturating_sub(names + 4), &separator);
        canvas.text(below, names + 4, &text, if m.state.serves() { theme.dim } else { theme.state(m.state) });
        if selected == Some(*i) {
            canvas.text(line, 1, canvas.glyphs.cursor, theme.key);
        }
    }
    let rest = below(area, bars + 1);
    let member = selected.and_then(|i| state.view.members.get(i));
    let ring = member.and_then(|m| state.history.ring(m.id?));
    let facts = facts(state, member, ring);
    let facts_height = u16::try_from(facts.len() + 1).unwrap_or(u16::MAX).min(rest.height);
    let inner = canvas.section(Rect { height: facts_height, ..rest }, "Growth and revisions");
    for (y, (label, value)) in (0_u16..).zip(&facts) {
        let line = row(inner, y);
        canvas.text(line, 1, label, theme.dim);
        canvas.text(line, 18, value, theme.text);
    }
    let rest = below(rest, facts_height + 1);
    if rest.height >= 5 {
        let label = member.map(MemberView::label).unwrap_or_default();
        let inner = canvas.section(rest, &format!("File of {label}"));
        if let Some(ring) = ring {
            chart::draw(
                canvas,
                Rect { height: inner.height.min(20), ..inner },
                ring.fine(),
                state.now,
                chart::window(ring.fine(), state.now),
            );
        }
    }
}

/// What stands below a bar, the most important first; what has no room is left out whole.
fn figures(state: &State, m: &MemberView, columns: u16, separator: &str) -> String {
    let mut parts = Vec::new();
    if !m.state.answers() {
        let old = m.figures_age(state.now).map(|a| format!(", figures {} old", age(a)));
        parts.push(format!("{}{}", m.state.shown(), old.unwrap_or_default()));
    }
    if let Some((s, size)) = m.status.as_ref().and_then(|s| Some((s, s.db_size?))) {
        parts.push(match m.quota() {
            Some((quota, _)) => format!("{size} is {} of quota {quota}", percent(size.share_of(quota))),
            None => format!("{size}, quota unknown (no /metrics)"),
        });
        if let Some(in_use) = s.db_size_in_use {
            parts.push(format!("{in_use} in use ({})", percent(in_use.share_of(size))));
        }
        if let Some(free) = MemberStatus::reclaimable(s) {
            parts.push(format!("{free} reclaimable"));
        }
    }
    let mut line = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 && width(&line) + width(separator) + width(part) > columns {
            break;
        }
        line.push_str(if i > 0 { separator } else { "" });
        line.push_str(part);
    }
    line
}

fn facts(state: &State, member: Option<&MemberView>, ring: Option<&Ring>) -> Vec<(&'static str, String)> {
    let view = &state.view;
    let unknown = || "not known".to_owned();
    let positive = |r: Revision| u64::try_from(r.0).unwrap_or_default();
    let mut facts = Vec::new();
    facts.push(("revision", view.revision.map_or_else(unknown, |r| grouped(positive(r)))));
    facts.push(("compacted up to", floor(state)));
    if let Some((kept, floor)) = kept(&Case::new(view, &state.history)) {
        let oldest = state.history.age_of(Revision(floor.0.saturating_add(1))).filter(|_| kept > 0);
        let oldest = oldest.map_or_else(String::new, |(old, exact)| {
            format!(", the oldest written {}{} ago", if exact { "" } else { "at least " }, age(old))
        });
        facts.push(("revisions kept", grouped(kept) + &oldest));
    }
    facts.push(("writes", writes(state, member)));
    facts.push(("grows by", member.zip(ring).map_or_else(unknown, |(m, ring)| growth(state, m, ring))));
    match member.zip(ring).map(|(m, ring)| forecast::of_member(m, ring)) {
        None => facts.push(("quota full", unknown())),
        Some(outlooks) => {
            facts.push(("quota full", outlooks.db_size.words()));
            // What is in use cannot be defragmented away.
            if let Outlook::Grows(f) = outlooks.in_use {
                facts.push(("in use", format!("reaches the quota {}", f.words())));
            }
        }
    }
    facts
}

fn floor(state: &State) -> String {
    let told = state.view.members.iter().filter_map(|m| m.metrics.as_ref()?.compact_revision).max();
    match told {
        None => "not known: no /metrics".into(),
        Some(Revision(0)) => "nothing yet".into(),
        Some(r) => grouped(u64::try_from(r.0).unwrap_or_default()),
    }
}

/// How much is written, by revisions and by what clients of the member send.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate for people
fn writes(state: &State, member: Option<&MemberView>) -> String {
    let rate = state.history.revision_rate();
    let revisions =
        rate.map_or_else(|| "known after 20 s".into(), |r| format!("{r:.1} revisions/s in a minute"));
    let window = member.and_then(|m| state.history.window(m.id?, Duration::from_secs(60)));
    let received = window
        .and_then(|w| w.rate(|s| s.client_received))
        .map_or_else(String::new, |r| format!(", clients send {}/s", bytes(r.round() as u64)));
    revisions + &received
}

/// What a member's file and keys became more by, a minute.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rates for people
fn growth(state: &State, m: &MemberView, ring: &Ring) -> String {
    let minute = |rate: f64| {
        let sign = if rate < 0.0 { "-" } else { "+" };
        format!("{sign}{}", bytes((rate.abs() * 60.0).round() as u64))
    };
    let size = ring.rate(FINE_SPAN, |s| s.db_size.map(|b| i128::from(b.0)));
    let used = ring.rate(FINE_SPAN, |s| s.in_use.map(|b| i128::from(b.0)));
    let keys = m.id.and_then(|id| state.history.window(id, FINE_SPAN)?.slope(|s| s.keys));
    let mut parts = Vec::new();
    parts.extend(size.map(|r| format!("db {}", minute(r))));
    parts.extend(used.map(|r| format!("in use {}", minute(r))));
    parts.extend(keys.map(|r| format!("keys {:+.0}", r * 60.0)));
    if parts.is_empty() { "known after 5 min".into() } else { format!("{} a minute", parts.join(", ")) }
}
