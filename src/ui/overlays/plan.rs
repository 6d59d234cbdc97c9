//! The dialog of a plan.

use std::time::Duration;

use ratatui::layout::Rect;
use ratatui::style::Style;
use tui_input::Input;

use crate::app::State;
use crate::app::dialog::{Dialog, Focus};
use crate::model::units::age;
use crate::ops::plan::{Request, Roll, Verdict, Verify};
use crate::ui::canvas::{Canvas, below, pad, row, width, wrap};
use crate::ui::theme::{Glyphs, Theme};

/// Columns inside the frame, at most.
const WIDEST: u16 = 110;
/// Rows below the text: options, the name, the buttons.
const CONTROLS: u16 = 3;

/// A line of text, where it begins and how it looks.
type Line = (String, u16, Style);

fn lines(dialog: &Dialog, theme: &Theme, glyphs: &Glyphs, columns: u16) -> Vec<Line> {
    let plan = &dialog.plan;
    let mut lines: Vec<Line> = Vec::new();
    let mut put = |text: &str, indent: u16, style: Style| {
        let room = columns.saturating_sub(indent);
        if text.is_empty() {
            lines.push((String::new(), 0, style));
        }
        lines.extend(wrap(text, room).into_iter().map(|l| (l, indent, style)));
    };
    for text in &plan.consequences {
        put(text, 0, theme.text);
    }
    put("", 0, theme.text);
    for (i, step) in plan.steps.iter().enumerate() {
        let sizes = match (step.before, step.after) {
            (Some(a), Some(b)) if a != b => format!("  {a} to about {b}"),
            (Some(a), _) => format!("  {a}"),
            _ => String::new(),
        };
        let estimate = step.estimate.map_or_else(String::new, |d| format!("  {}", about(d)));
        put(&format!("{:>2}  {}{sizes}{estimate}", i + 1, step.title), 1, theme.strong);
    }
    for skipped in &plan.skipped {
        put(&format!("{}  left out: {skipped}", glyphs.dot), 2, theme.dim);
    }
    if let Some(total) = plan.estimate().filter(|_| plan.steps.len() > 1) {
        put(&format!("in all {}", about(total)), 5, theme.dim);
    }
    put("", 0, theme.text);
    // What is open comes before what is well.
    if let Some(danger) = plan.danger.as_ref().filter(|_| dialog.asks_for().is_some()) {
        put(&format!("{} {danger}", glyphs.warning), 1, theme.warning);
    }
    for verdict in [Verdict::Block, Verdict::Warn, Verdict::Pass] {
        for check in plan.checks.iter().filter(|c| c.verdict == verdict) {
            let (mark, style) = match verdict {
                Verdict::Block => (glyphs.bad, theme.bad),
                Verdict::Warn => (glyphs.warning, theme.warning),
                Verdict::Pass => (glyphs.done, theme.good),
            };
            put(&format!("{mark} {}", check.line), 1, style);
        }
    }
    put("", 0, theme.text);
    let mut commands: Vec<&str> = plan.steps.iter().map(|s| s.etcdctl.as_str()).collect();
    commands.dedup();
    for command in commands {
        put(&format!("$ {command}"), 1, theme.dim);
    }
    lines
}

fn about(time: Duration) -> String {
    if time.as_secs() == 0 { "less than 1 s".into() } else { format!("about {}", age(time)) }
}

fn columns(area: Rect) -> u16 {
    area.width.min(WIDEST + 4).saturating_sub(4)
}

/// How far the text can be scrolled.
pub(in crate::ui) fn most_scroll(dialog: &Dialog, theme: &Theme, glyphs: &Glyphs, area: Rect) -> u16 {
    let lines = lines(dialog, theme, glyphs, columns(area)).len();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_sub(area.height.saturating_sub(CONTROLS + 3))
}

pub(in crate::ui) fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect, dialog: &Dialog) {
    let theme = canvas.theme;
    let lines = lines(dialog, theme, canvas.glyphs, columns(area));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(CONTROLS + 3);
    let inner = canvas.popup(area, columns(area) + 4, rows, &dialog.plan.title);
    let text = Rect { height: inner.height.saturating_sub(CONTROLS + 1), ..inner };
    let most = most_scroll(dialog, theme, canvas.glyphs, area);
    let first = dialog.scroll.min(most);
    for (y, (line, indent, style)) in (0..text.height).zip(lines.iter().skip(usize::from(first))) {
        canvas.text(row(text, y), *indent, line, *style);
    }
    if most > 0 {
        let more = if first < most { "pgdn: more" } else { "pgup: back" };
        canvas.right(row(inner, text.height), more, theme.accent);
    }
    let controls = below(inner, text.height + 1);
    options(dialog, canvas, row(controls, 0));
    name(dialog, canvas, row(controls, 1));
    let since = Duration::try_from(state.clock.duration_since(dialog.seen_at())).ok();
    buttons(dialog, canvas, row(controls, 2), since);
}

fn options(dialog: &Dialog, canvas: &mut Canvas<'_>, line: Rect) {
    let theme = canvas.theme;
    let mut x = 1;
    for field in dialog.fields() {
        let focused = dialog.focus == field;
        let style = if focused { theme.badge } else { theme.text };
        let tick = |on: bool| if on { "[x]" } else { "[ ]" };
        let label = match (field, &dialog.request) {
            (Focus::MoveLeader, Request::Defragment(Roll { move_leader, .. })) => {
                format!("{} move the leader first", tick(*move_leader))
            }
            (Focus::Source, _) => {
                let m = dialog.source();
                let of = m.map_or_else(String::new, |m| format!("{} ({})", m.label(), m.role.word()));
                format!("{} of {of}", canvas.glyphs.cursor)
            }
            (Focus::Verify, Request::Snapshot { verify, .. }) => format!(
                "{} verify {}",
                canvas.glyphs.cursor,
                if *verify == Verify::Full { "every byte" } else { "ends and branches" }
            ),
            (Focus::SnapshotFirst, _) => format!("{} snapshot first", tick(dialog.snapshot_first)),
            (Focus::Keep, _) => {
                x = canvas.text(line, x, "keep the last ", theme.dim);
                x = dialog.keep.as_ref().map_or(x, |keep| input(canvas, line, x, keep, focused, 8));
                x = canvas.text(line, x, " revisions", theme.dim) + 3;
                continue;
            }
            _ => continue,
        };
        x = canvas.text(line, x, &label, style) + 3;
    }
}

fn name(dialog: &Dialog, canvas: &mut Canvas<'_>, line: Rect) {
    let theme = canvas.theme;
    let Some(name) = dialog.asks_for() else { return };
    let x =
        canvas.spans(line, 1, &[("type ", theme.text), (name, theme.strong), (" to run it: ", theme.text)]);
    let room = width(name).max(6) + 1;
    input(canvas, line, x, &dialog.typed, dialog.focus == Focus::Name, room);
}

/// An input line with its cursor; the column after it.
pub(super) fn input(
    canvas: &mut Canvas<'_>,
    line: Rect,
    x: u16,
    input: &Input,
    focused: bool,
    columns: u16,
) -> u16 {
    let theme = canvas.theme;
    let ellipsis = canvas.glyphs.ellipsis;
    let before: String = input.value().chars().take(input.cursor()).collect();
    let under = input.value().chars().nth(input.cursor()).map_or_else(|| " ".to_owned(), |c| c.to_string());
    let after: String = input.value().chars().skip(input.cursor() + 1).collect();
    if focused {
        let end = canvas.spans(line, x, &[(&before, theme.key), (&under, theme.badge), (&after, theme.key)]);
        return end.max(x + columns);
    }
    let shown = if input.value().is_empty() {
        canvas.glyphs.free.repeat(usize::from(columns - 1))
    } else {
        input.value().to_owned()
    };
    canvas.text(line, x, &pad(&shown, columns, false, ellipsis), theme.dim)
}

fn buttons(dialog: &Dialog, canvas: &mut Canvas<'_>, line: Rect, since: Option<Duration>) {
    let theme = canvas.theme;
    let style = |focus: Focus| if dialog.focus == focus { theme.badge } else { theme.strong };
    let x = canvas.text(line, 1, "[ Cancel ]", style(Focus::Cancel));
    let run =
        if dialog.not_yet().is_some() && dialog.focus != Focus::Run { theme.dim } else { style(Focus::Run) };
    let x = canvas.text(line, x + 2, "[ Run it ]", run);
    let old =
        since.filter(|s| s.as_secs() >= 10).map(|s| format!("as of {} ago: esc, then open it anew", age(s)));
    let toggles =
        matches!(dialog.focus, Focus::Source | Focus::Verify | Focus::MoveLeader | Focus::SnapshotFirst);
    let hint = toggles.then(|| "space changes it".to_owned()).or(old).or_else(|| dialog.not_yet());
    let hint = hint.unwrap_or_else(|| "tab moves, enter presses, e explains, esc cancels".into());
    canvas.text(line, x + 3, &hint, theme.dim);
}

/// Whether to leave while an operation runs.
pub(in crate::ui) fn leave(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let Some(operation) = state.changes.running() else { return };
    let inner = canvas.popup(area, 76, 8, "An operation runs");
    canvas.text(row(inner, 0), 0, &operation.plan.title, theme.strong);
    let safe = format!("x  stop it {}, then leave", operation.safe_point());
    for (y, text) in (2..).zip([safe.as_str(), "w  let it run to its end, then leave", "any other key: stay"])
    {
        canvas.text(row(inner, y), 0, text, theme.text);
    }
}
