//! 2: everything about the selected member.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::nothing_shown;
use crate::app::{ActionId, State};
use crate::model::metrics::Spread;
use crate::model::units::{age, grouped, latency, percent};
use crate::model::{ForeignText, MemberView};
use crate::poll::scrapes::MIXIN_WINDOW;
use crate::ui::canvas::{Canvas, below, row, wrap};
use crate::ui::theme::{Glyphs, Theme};
use crate::ui::widgets::bar::{self, Parts};
use crate::ui::widgets::chart;

/// A group of lines: title, and label with value.
struct Group {
    title: String,
    lines: Vec<(&'static str, String, Style)>,
}

pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(m) = state.selected_row().and_then(|i| state.view.members.get(i)) else {
        canvas.text(area, 1, nothing_shown(state, "no member is known yet"), canvas.theme.dim);
        return;
    };
    let groups = groups(state, canvas.theme, canvas.glyphs, m);
    // Lines of both columns are made first, so that scrolling moves them together.
    let mut cursors = [0_u16; 2];
    for (i, group) in groups.iter().enumerate() {
        let (side, place) = place(i, area);
        let start = i32::from(cursors[side]) - i32::from(state.scroll);
        group_at(canvas, place, start, group);
        cursors[side] += group.height(place.width) + 1;
    }
    let longest = cursors[0].max(cursors[1]).saturating_sub(1);
    if longest > area.height {
        let hint =
            format!(" {} {} scroll ", state.keymap.first(ActionId::Down), state.keymap.first(ActionId::Up));
        canvas.right(Rect { width: area.width.saturating_sub(1), ..area }, &hint, canvas.theme.dim);
    }
    let lowest = cursors[0].max(cursors[1]).saturating_sub(state.scroll);
    let rest = below(area, lowest);
    if rest.height >= 6 {
        let inner = canvas.section(Rect { height: rest.height.min(12), ..rest }, "File");
        if let Some(ring) = m.id.and_then(|id| state.history.ring(id)) {
            chart::draw(canvas, inner, ring.fine(), state.now, chart::window(ring.fine(), state.now));
        }
    }
}

/// The column of a group, and where that is: two columns on a wide terminal.
const fn place(index: usize, area: Rect) -> (usize, Rect) {
    if area.width < 100 {
        return (0, area);
    }
    let half = area.width / 2;
    if index.is_multiple_of(2) {
        (0, Rect { width: half - 2, ..area })
    } else {
        (1, Rect { x: area.x + half, width: half, ..area })
    }
}

/// How many lines are below the last row when the first is at the top.
pub(super) fn most_scroll(state: &State, theme: &Theme, glyphs: &Glyphs, area: Rect) -> u16 {
    let Some(m) = state.selected_row().and_then(|i| state.view.members.get(i)) else { return 0 };
    let mut heights = [0_u16; 2];
    for (i, group) in groups(state, theme, glyphs, m).iter().enumerate() {
        let (side, place) = place(i, area);
        heights[side] += group.height(place.width) + 1;
    }
    heights[0].max(heights[1]).saturating_sub(1).saturating_sub(area.height)
}

/// Where values begin.
const VALUES: u16 = 16;

impl Group {
    /// Lines that it takes, its heading included.
    fn height(&self, columns: u16) -> u16 {
        let lines: usize = self
            .lines
            .iter()
            .map(|(_, value, _)| wrap(value, columns.saturating_sub(VALUES + 1)).len())
            .sum();
        u16::try_from(lines + 1).unwrap_or(u16::MAX)
    }
}

/// Draws a group whose first line is at `start` (it may be above the area).
fn group_at(canvas: &mut Canvas<'_>, area: Rect, start: i32, group: &Group) {
    let theme = canvas.theme;
    let mut y = start;
    let mut line = |canvas: &mut Canvas<'_>, draw: &dyn Fn(&mut Canvas<'_>, Rect)| {
        if let Ok(at) = u16::try_from(y)
            && at < area.height
        {
            draw(canvas, row(area, at));
        }
        y += 1;
    };
    line(canvas, &|canvas, at| {
        canvas.section(at, &group.title);
    });
    for (label, value, style) in &group.lines {
        for (i, part) in wrap(value, area.width.saturating_sub(VALUES + 1)).into_iter().enumerate() {
            line(canvas, &|canvas, at| {
                canvas.text(at, 1, if i == 0 { label } else { "" }, theme.dim);
                canvas.text(at, VALUES, &part, *style);
            });
        }
    }
}

fn spread(spread: Spread) -> String {
    format!("p50 {}, p99 {} in {}", latency(spread.p50), latency(spread.p99), age(spread.span))
}

fn join(texts: &[ForeignText]) -> String {
    texts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[allow(clippy::too_many_lines)] // a list of what is known, one line each
fn groups(state: &State, theme: &Theme, glyphs: &Glyphs, m: &MemberView) -> Vec<Group> {
    let dash = glyphs.dash;
    let text = |value: Option<String>| match value {
        Some(v) => (v, theme.text),
        None => (dash.to_owned(), theme.dim),
    };
    let line = |label: &'static str, value: Option<String>| {
        let (value, style) = text(value);
        (label, value, style)
    };
    let s = m.status.as_ref();
    let metrics = m.metrics.as_ref();
    let since = Duration::try_from(state.now.duration_since(m.since)).unwrap_or_default();
    let mut identity = vec![
        line("name", Some(m.label())),
        line("id", m.id.map(|id| id.to_string())),
        line("endpoint", m.endpoint.as_ref().map(ToString::to_string)),
    ];
    if !m.also_at.is_empty() {
        let also: Vec<_> = m.also_at.iter().map(ToString::to_string).collect();
        identity.push(line("also at", Some(also.join(", "))));
    }
    identity.extend([
        line("client urls", Some(join(&m.client_urls)).filter(|t| !t.is_empty())),
        line("peer urls", Some(join(&m.peer_urls)).filter(|t| !t.is_empty())),
        line("version", s.map(|s| s.version.to_string())),
        line("storage", s.and_then(|s| s.storage_version.as_ref()).map(ToString::to_string)),
        line(
            "certificate",
            m.certificate
                .as_ref()
                .map(|c| format!("{} until {}", c.subject, c.not_after.strftime("%Y-%m-%d"))),
        ),
    ]);
    // How long a silent one has not answered stands in its reason, from the first unanswered request on.
    let lasting = if m.state.answers() { format!(" for {}", age(since)) } else { String::new() };
    let state_text = format!("{} {}{lasting}", glyphs.state(m.state), m.state.shown());
    let mut health = vec![("state", state_text, theme.state(m.state))];
    if let Some(detail) = &m.detail {
        health.push(("reason", detail.to_string(), theme.state(m.state)));
    }
    health.extend([
        line("role", Some(m.role.word().to_owned())),
        line("ping", state.ping(m).map(latency)),
        line(
            "figures",
            m.figures_age(state.now)
                .map(|a| if a < Duration::from_secs(3) { "now".into() } else { format!("{} old", age(a)) }),
        ),
        line(
            "alarms",
            Some(m.alarms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                .filter(|t| !t.is_empty()),
        ),
        line("errors", s.map(|s| join(&s.errors)).filter(|t| !t.is_empty())),
    ]);
    let raft = vec![
        line("leader", s.and_then(|s| s.leader).map(|id| state.view.name_of(id))),
        line("term", s.map(|s| grouped(s.raft_term.0))),
        line("commit index", s.map(|s| grouped(s.raft_index.0))),
        line("applied index", s.map(|s| grouped(s.raft_applied_index.0))),
        line("lag", m.lag.map(|l| format!("{} entries behind the leader", grouped(l)))),
        line(
            "proposals",
            metrics.and_then(|x| {
                Some(format!(
                    "{} committed, {} pending, {} failed",
                    grouped(x.proposals_committed?),
                    x.proposals_pending?,
                    x.proposals_failed?
                ))
            }),
        ),
        line(
            "elections",
            metrics.and_then(|x| x.leader_changes).map(|n| format!("leader changes since its start: {n}")),
        ),
    ];
    let share = s.and_then(|s| Some(s.db_size_in_use?.share_of(s.db_size?)));
    let storage = vec![
        line("db size", s.and_then(|s| s.db_size).map(|b| b.to_string())),
        line(
            "in use",
            s.and_then(|s| s.db_size_in_use)
                .map(|b| format!("{b}{}", share.map_or_else(String::new, |p| format!(" ({})", percent(p))))),
        ),
        line("reclaimable", s.and_then(crate::model::MemberStatus::reclaimable).map(|b| b.to_string())),
        line(
            "quota",
            m.quota().map(|(q, source)| {
                let of = s
                    .and_then(|s| s.db_size)
                    .map_or_else(String::new, |size| format!(", {} full", percent(size.share_of(q))));
                let from = match source {
                    crate::model::member::QuotaSource::Status => "Status",
                    crate::model::member::QuotaSource::Metrics => "/metrics",
                };
                format!("{q}{of} (from {from})")
            }),
        ),
        line("keys", metrics.and_then(|x| x.keys).map(grouped)),
        line("revision", s.map(|s| grouped(u64::try_from(s.revision.0).unwrap_or_default()))),
    ];
    let mut process = vec![
        line("fsync", m.id.and_then(|id| state.history.fsync(id, MIXIN_WINDOW)).map(spread)),
        line("commit", m.id.and_then(|id| state.history.commit(id, MIXIN_WINDOW)).map(spread)),
        line("memory", metrics.and_then(|x| x.resident_memory).map(|b| b.to_string())),
        line(
            "open files",
            metrics.and_then(|x| Some(format!("{} of {}", grouped(x.open_fds?), grouped(x.max_fds?)))),
        ),
        line(
            "up",
            metrics
                .and_then(|x| x.started_at)
                .map(|at| age(Duration::try_from(state.now.duration_since(at)).unwrap_or_default())),
        ),
    ];
    if let Some(reason) = &m.metrics_error {
        process.push(("no metrics", reason.to_string(), theme.warning));
    }
    vec![
        Group { title: format!("Health of {}", m.label()), lines: health },
        Group { title: "Identity".to_owned(), lines: identity },
        Group { title: "Storage".to_owned(), lines: storage },
        Group { title: "Raft".to_owned(), lines: raft },
        Group { title: "Process, from /metrics".to_owned(), lines: process },
    ]
}

/// For the storage view: a member's bar with its figures.
pub(super) fn bar_line(canvas: &mut Canvas<'_>, area: Rect, m: &MemberView, whole: crate::model::Bytes) {
    if let Some(parts) = Parts::of(m, whole) {
        bar::draw(canvas, area, parts);
    } else {
        canvas.text(area, 0, "no figures", canvas.theme.dim);
    }
}
