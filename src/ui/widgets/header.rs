//! The header: the verdict and its reason, and what is true of the whole cluster.

use std::time::Duration;

use ratatui::layout::Rect;

use crate::app::State;
use crate::app::update::AGE_STEP;
use crate::model::Outage;
use crate::model::units::{age, grouped, percent};
use crate::ui::canvas::{Canvas, row, width, wrap};

/// Rows: the verdict, what is true of the cluster, and the reason, in up to two rows.
pub(in crate::ui) fn height(state: &State, columns: u16) -> u16 {
    2 + u16::try_from(reason_lines(state, columns).len()).unwrap_or(0)
}

fn reason_lines(state: &State, columns: u16) -> Vec<String> {
    if state.verdict.reason.is_empty() {
        return Vec::new();
    }
    let mut lines = wrap(&state.verdict.reason, columns.saturating_sub(4));
    if lines.len() > 2 {
        let rest = lines.split_off(1).join(" ");
        lines.push(rest);
    }
    lines
}

/// What stands at the right end of the first line: badges and the clock. What is left of the line.
pub(in crate::ui) fn right_end(state: &State, canvas: &mut Canvas<'_>, first: Rect) -> Rect {
    let theme = canvas.theme;
    let mode = if state.access.read_only.is_some() { " VIEW ONLY " } else { "" };
    let frozen = match state.unseen() {
        _ if !state.frozen() => String::new(),
        0 => " FROZEN ".to_owned(),
        n => format!(" FROZEN, {n} new "),
    };
    let lab = if state.access.lab { " LAB " } else { "" };
    let clock = state.now.to_zoned(state.zone.clone()).strftime("%H:%M").to_string();
    let replay = if state.replay.is_some() { " REPLAY " } else { "" };
    let rec = if state.recording.is_some() { " REC " } else { "" };
    let badges: Vec<_> = [replay, rec, lab, &frozen, mode].into_iter().filter(|b| !b.is_empty()).collect();
    let right: u16 = badges.iter().map(|b| width(b) + 1).sum::<u16>() + width(&clock) + 1;
    let mut x = first.width.saturating_sub(right);
    let room = Rect { width: x.saturating_sub(1), ..first };
    for badge in badges {
        x = canvas.text(first, x, badge, theme.badge);
        x = canvas.text(first, x, " ", theme.text);
    }
    canvas.text(first, x, &clock, theme.dim);
    room
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let first = row(area, 0);
    let v = &state.verdict;
    // The right end first: the verdict may take all that is left of it.
    let room = right_end(state, canvas, first);

    let glyph = canvas.glyphs.verdict(v.kind);
    let mut x = canvas.spans(room, 0, &[(" etcdtop ", theme.dim)]);
    let name = canvas.fit(&state.access.name, room.width / 3);
    x = canvas.text(room, x, &name, theme.strong);
    x = canvas.spans(room, x, &[("  ", theme.text), (glyph, theme.verdict(v.kind)), (" ", theme.text)]);
    x = canvas.text(room, x, &v.headline, theme.verdict(v.kind));
    // What does not fit whole is left out.
    if let Some(count) = count(state, area.width >= 100)
        && x + 3 + width(&count) <= room.width
    {
        x = canvas.text(room, x + 3, &count, theme.text);
        if state.view.outage().is_none()
            && let Some(n) = state.view.can_lose()
        {
            let can_lose = format!(", can lose {n}");
            if x + width(&can_lose) <= room.width {
                canvas.text(room, x, &can_lose, if n == 0 { theme.warning } else { theme.text });
            }
        }
    }
    for (i, line) in reason_lines(state, area.width).iter().enumerate() {
        let at = row(area, 1 + u16::try_from(i).unwrap_or(0));
        let lead = if i == 0 { canvas.glyphs.branch } else { " " };
        let x = canvas.spans(at, 1, &[(lead, theme.dim), (" ", theme.text)]);
        canvas.text(at, x, line, theme.verdict(v.kind));
    }
    facts(state, canvas, row(area, area.height.saturating_sub(1)));
}

/// `3/3 members serve`: how many of the listed ones serve; in an outage the headline and the reason count already.
fn count(state: &State, wide: bool) -> Option<String> {
    let listed = state.view.listed();
    if listed == 0 || state.view.outage().is_some() {
        return None;
    }
    Some(format!("{}/{listed} {}", state.view.serving(), if wide { "members serve" } else { "serve" }))
}

/// One line of figures, the most important first; what has no room is left out whole.
fn facts(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let view = &state.view;
    let mut facts: Vec<String> = Vec::new();
    // First of all, because every figure is as old as the last poll.
    if let Some(pace) = pace(state) {
        facts.push(pace);
    }
    if let Some(leader) = view.leader {
        let since = view.term.map_or_else(String::new, |t| format!(", term {}", t.0));
        facts.push(format!("leader {}{since}", view.name_of(leader)));
    } else if matches!(view.outage(), Some(Outage::QuorumLost { .. } | Outage::NoLeader { .. })) {
        facts.push("no leader".into());
    }
    if let Some((size, quota)) = view.fullest() {
        let full = state.full_in.map_or_else(String::new, |left| format!(", full in ~{}", age(left)));
        facts.push(format!("db {size} of {quota} ({}){full}", percent(size.share_of(quota))));
    }
    if let Some(snapshot) = last_snapshot(state) {
        facts.push(snapshot);
    }
    if let Some(revision) = view.revision {
        let rate = state
            .history
            .revision_rate()
            .filter(|r| *r >= 0.5 && state.verdict.kind.takes_writes())
            .map_or_else(String::new, |r| format!(" +{}/s", rounded(r)));
        facts.push(format!("rev {}{rate}", grouped(u64::try_from(revision.0).unwrap_or_default())));
    }
    // Of a cluster that cannot be reached nothing is known: it may well take writes.
    if view.ever_answered() && view.outage() != Some(Outage::Unreachable) {
        let writes = if state.verdict.kind.takes_writes() { "takes writes" } else { "no writes" };
        facts.push(writes.to_owned());
    }
    if !state.access.origin.is_empty() {
        facts.push(state.access.origin.clone());
    }
    let separator = format!(" {} ", canvas.glyphs.dot);
    let mut x = 1;
    for (i, fact) in facts.iter().enumerate() {
        let needed = width(fact) + if i > 0 { width(&separator) } else { 0 };
        if i > 0 && x + needed > area.width {
            continue;
        }
        if i > 0 {
            x = canvas.text(area, x, &separator, theme.rule);
        }
        x = canvas.text(area, x, fact, theme.dim);
    }
}

/// `last snapshot 6 h ago, verified`: of this cluster, in the folder; none while nobody knows.
fn last_snapshot(state: &State) -> Option<String> {
    let (cluster, Some(Ok(_))) = (state.view.cluster_id?, &state.shelf.listing) else { return None };
    let Some(newest) = state.shelf.newest(cluster) else { return Some("no snapshot here".into()) };
    let old = Duration::try_from(state.now.duration_since(newest.taken_at)).unwrap_or_default();
    let word = if state.shelf.trusted(newest) { "verified" } else { "not verified" };
    // It counts no seconds: it stands in a line that is always on screen.
    let when = if old < Duration::from_secs(60) { "just now".into() } else { format!("{} ago", age(old)) };
    Some(format!("snapshot {when}, {word}"))
}

/// `polled 15 s ago, every 1 min`, when it is not every second.
fn pace(state: &State) -> Option<String> {
    let ago = Duration::try_from(state.now.duration_since(state.view.at)).unwrap_or_default();
    let every = match state.interval {
        pause if pause == Duration::from_secs(1) => None,
        pause if pause.as_millis() < 1_000 => Some(format!("every {} ms", pause.as_millis())),
        pause => Some(format!("every {}", age(pause))),
    };
    if ago < AGE_STEP || state.frozen() {
        return every;
    }
    let polled = format!("polled {} ago", age(ago));
    Some(every.map_or(polled.clone(), |every| format!("{polled}, {every}")))
}

/// Two significant digits, so that a steady rate stands still.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // rates are small and not negative
pub(in crate::ui) fn rounded(rate: f64) -> String {
    if rate < 10.0 {
        return format!("{:.0}", rate.max(1.0));
    }
    let step = 10_f64.powf(rate.log10().floor() - 1.0);
    grouped(((rate / step).round() * step) as u64)
}
