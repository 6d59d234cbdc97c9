//! 3: sizes, quota, history, revisions kept.

use std::time::Duration;

use ratatui::layout::Rect;

use super::member::bar_line;
use super::nothing_shown;
use crate::app::State;
use crate::model::units::{age, grouped, percent};
use crate::model::{MemberStatus, MemberView};
use crate::poll::history::{FINE_SPAN, Ring};
use crate::ui::canvas::{Canvas, below, row, width};
use crate::ui::widgets::bar::common_whole;
use crate::ui::widgets::{chart, rows};

/// Less history than this gives no forecast.
const ENOUGH: Duration = Duration::from_secs(600);

/// Rows of growth and revisions, their heading included.
const FACTS: u16 = 6;

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
    let positive = |r: crate::model::Revision| u64::try_from(r.0).unwrap_or_default();
    let mut facts = Vec::new();
    facts.push(("revision", view.revision.map_or_else(unknown, |r| grouped(positive(r)))));
    facts.push((
        "compacted up to",
        view.compact_revision.map_or_else(|| "nothing yet, or no /metrics".into(), |r| grouped(positive(r))),
    ));
    if let (Some(head), Some(floor)) = (view.revision, view.compact_revision) {
        facts.push((
            "revisions kept",
            grouped(u64::try_from(head.0.saturating_sub(floor.0)).unwrap_or_default()),
        ));
    }
    let rate = state.history.revision_rate();
    facts.push((
        "changes",
        rate.map_or_else(
            || "known after 20 s".into(),
            |r| format!("{r:.1} revisions/s over the last minute"),
        ),
    ));
    facts.push(("quota full", member.zip(ring).map_or_else(unknown, |(m, r)| forecast(m, r))));
    facts
}

/// When the file reaches the quota at the rate of what is known; never from less than ten minutes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a forecast
fn forecast(m: &MemberView, ring: &Ring) -> String {
    let Some((quota, _)) = m.quota() else { return "quota unknown".into() };
    let Some(size) = m.status.as_ref().and_then(|s| s.db_size) else { return "size unknown".into() };
    let span =
        ring.fine().front().zip(ring.fine().back()).map_or(Duration::ZERO, |(a, b)| {
            Duration::try_from(b.at.duration_since(a.at)).unwrap_or_default()
        });
    if span < ENOUGH {
        return format!("a forecast needs 10 min of history, {} are known", age(span));
    }
    match ring.rate(FINE_SPAN, |s| s.db_size.map(|b| i128::from(b.0))) {
        Some(rate) if rate > 0.0 => {
            let seconds = quota.minus(size).0 as f64 / rate;
            let left = Duration::try_from_secs_f64(seconds).map_or_else(|_| "years".into(), age);
            format!(
                "in about {left} at {} a minute",
                crate::model::Bytes((rate * 60.0).round().max(0.0) as u64)
            )
        }
        _ => format!("not in sight: no growth over the last {}", age(span)),
    }
}
