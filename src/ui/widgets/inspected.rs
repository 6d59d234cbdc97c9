//! What a snapshot holds: how much of it, whose it is, and where in the file.

use ratatui::style::Style;

use crate::model::Bytes;
use crate::model::text::printable;
use crate::model::units::{grouped, percent};
use crate::snapshot::{Inspected, KeyFigures, PrefixFigures, Slot};
use crate::ui::canvas::{pad, width};
use crate::ui::theme::{Glyphs, Theme};

/// Pieces that follow one another in a row.
pub(in crate::ui) type Line = Vec<(String, Style)>;

/// Columns of labels, and of the names of prefixes.
const LABEL: u16 = 15;
const NAME: u16 = 30;
/// Prefixes that are shown; `etcdtop snapshot inspect -o json` has them all.
const PREFIXES: usize = 12;
/// Rows of the page map, at most.
const MAP_ROWS: usize = 12;

/// How to draw.
#[derive(Clone, Copy)]
pub(in crate::ui) struct Pen<'a> {
    pub(in crate::ui) theme: &'a Theme,
    pub(in crate::ui) glyphs: &'a Glyphs,
    pub(in crate::ui) columns: u16,
}

/// Everything, a row each.
pub(in crate::ui) fn lines(pen: Pen<'_>, i: &Inspected) -> Vec<Line> {
    let mut lines = facts(pen, i);
    lines.push(Vec::new());
    lines.extend(sizes(pen, i));
    lines.push(Vec::new());
    lines.extend(map(pen, i));
    lines.push(Vec::new());
    lines.extend(prefixes(pen, &i.prefixes));
    lines.extend(keys(pen, "Largest keys", &i.largest));
    lines.extend(keys(pen, "Most changed keys", &i.most_revised));
    lines
}

fn facts(pen: Pen<'_>, i: &Inspected) -> Vec<Line> {
    let Pen { theme, .. } = pen;
    let revision = grouped(u64::try_from(i.revision.0).unwrap_or_default());
    let line = |label: &str, text: String| {
        vec![(pad(label, LABEL, false, pen.glyphs.ellipsis), theme.dim), (text, theme.text)]
    };
    let pages: Vec<_> = i
        .pages
        .iter()
        .map(|p| {
            let filled = p.used.share_of(Bytes(p.pages * i.page_size));
            format!("{} {} ({} filled)", grouped(p.pages), p.kind, percent(filled))
        })
        .collect();
    vec![
        line("revision", revision),
        line("keys", format!("{} there, {} leases", grouped(i.live_keys), grouped(i.leases))),
        line("changes kept", format!("{}, {} of them deletes", grouped(i.changes), grouped(i.tombstones))),
        line("pages", format!("{}, {} free", pages.join(", "), grouped(i.free_pages))),
    ]
}

/// The file as it is, and as it would be.
fn sizes(pen: Pen<'_>, i: &Inspected) -> Vec<Line> {
    let Pen { theme, glyphs, columns } = pen;
    let room = columns.saturating_sub(LABEL + 34).clamp(8, 60);
    let bar = |label: &str, used: Bytes, size: Bytes, text: String| {
        let allocated = cells(size, i.size, room);
        let in_use = cells(used, i.size, room).min(allocated);
        let piece = |glyph: &str, n: u16| glyph.repeat(usize::from(n));
        vec![
            (pad(label, LABEL, false, glyphs.ellipsis), theme.dim),
            (piece(glyphs.in_use, in_use), theme.in_use),
            (piece(glyphs.reclaimable, allocated - in_use), theme.reclaimable),
            (piece(glyphs.free, room - allocated), theme.quota),
            (format!("  {text}"), theme.text),
        ]
    };
    let share = percent(i.in_use.share_of(i.size));
    let (packed, bare) = (i.after_defragmentation, i.after_compaction);
    vec![
        bar("the file", i.in_use, i.size, format!("{}, {share} in use", i.size)),
        bar("defragmented", packed, packed, format!("about {packed}")),
        bar("and compacted", bare, bare, format!("about {bare}")),
    ]
}

/// Cells of `room` for a part of the whole; something is at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
fn cells(part: Bytes, whole: Bytes, room: u16) -> u16 {
    if part.0 == 0 {
        return 0;
    }
    ((part.share_of(whole) * f64::from(room)).round() as u16).clamp(1, room)
}

/// The file from its beginning to its end.
fn map(pen: Pen<'_>, i: &Inspected) -> Vec<Line> {
    let Pen { theme, glyphs, columns } = pen;
    let in_a_row = usize::from(columns.max(1));
    let cells = i.map.in_cells(in_a_row * MAP_ROWS);
    let pages = cells.iter().map(Slot::pages).max().unwrap_or_default();
    let size = Bytes(u64::from(pages) * i.page_size);
    let each = match pages {
        0 | 1 => "a page each".to_owned(),
        n => format!("{n} pages ({size}) each"),
    };
    let mut lines = vec![vec![
        ("The file from its beginning to its end, ".to_owned(), theme.strong),
        (each, theme.strong),
    ]];
    for row in cells.chunks(in_a_row) {
        let mut line: Line = Vec::new();
        for slot in row {
            let (glyph, style) = cell(slot, theme, glyphs);
            match line.last_mut() {
                Some((text, last)) if *last == style => text.push_str(glyph),
                _ => line.push((glyph.to_owned(), style)),
            }
        }
        lines.push(line);
    }
    let [few, some, most] = glyphs.shades;
    let mut legend = vec![
        (glyphs.in_use.to_owned(), theme.in_use),
        (" in use  ".to_owned(), theme.dim),
        (format!("{most}{some}{few}"), theme.in_use),
        (" partly  ".to_owned(), theme.dim),
        (glyphs.free.to_owned(), theme.reclaimable),
        (" free  ".to_owned(), theme.dim),
    ];
    for (letter, style, word) in [("B", theme.key, " branches  "), ("M", theme.strong, " meta")] {
        if lines[1..].iter().flatten().any(|(text, s)| *s == style && text.contains(letter)) {
            legend.push((letter.to_owned(), style));
            legend.push((word.to_owned(), theme.dim));
        }
    }
    lines.push(legend);
    lines
}

/// A cell of the map.
fn cell<'a>(slot: &Slot, theme: &Theme, glyphs: &'a Glyphs) -> (&'a str, Style) {
    let (pages, used) = (slot.pages(), slot.pages() - slot.free);
    if used == 0 {
        (glyphs.free, theme.reclaimable)
    } else if slot.meta * 2 >= pages {
        ("M", theme.strong)
    } else if slot.branch * 2 >= pages {
        ("B", theme.key)
    } else if used == pages {
        (glyphs.in_use, theme.in_use)
    } else {
        let third = usize::try_from(used * 3 / pages).unwrap_or_default().min(2);
        (glyphs.shades[third], theme.in_use)
    }
}

/// Who fills it.
fn prefixes(pen: Pen<'_>, prefixes: &[PrefixFigures]) -> Vec<Line> {
    let Pen { theme, glyphs, columns } = pen;
    if prefixes.is_empty() {
        return Vec::new();
    }
    let name = NAME.min(columns / 3);
    let room = columns.saturating_sub(name + 36).clamp(6, 50);
    let most = prefixes.iter().map(|p| p.bytes).max().unwrap_or_default();
    let legend = format!("there now {}, history {}", glyphs.in_use, glyphs.reclaimable);
    let mut lines = vec![vec![("Who fills it: ".to_owned(), theme.strong), (legend, theme.dim)]];
    for p in prefixes.iter().take(PREFIXES) {
        let all = cells(p.bytes, most, room);
        let live = cells(p.live_bytes, most, room).min(all);
        lines.push(vec![
            (pad(&printable(&p.prefix), name, false, glyphs.ellipsis), theme.text),
            (" ".to_owned(), theme.text),
            (glyphs.in_use.repeat(usize::from(live)), theme.in_use),
            (glyphs.reclaimable.repeat(usize::from(all - live)), theme.reclaimable),
            (" ".repeat(usize::from(room - all)), theme.text),
            (format!(" {:>9}", p.bytes.to_string()), theme.text),
            (format!("  {} keys", grouped(p.live_keys)), theme.dim),
        ]);
    }
    if prefixes.len() > PREFIXES {
        let more = format!(
            "and {} more: etcdtop snapshot inspect -o json",
            grouped((prefixes.len() - PREFIXES) as u64)
        );
        lines.push(vec![(more, theme.dim)]);
    }
    lines.push(Vec::new());
    lines
}

fn keys(pen: Pen<'_>, title: &str, keys: &[KeyFigures]) -> Vec<Line> {
    let Pen { theme, glyphs, columns } = pen;
    if keys.is_empty() {
        return Vec::new();
    }
    let figures = |k: &KeyFigures| format!("{:>9}  {} changes", k.bytes.to_string(), grouped(k.changes));
    let widest = keys.iter().map(|k| width(&figures(k))).max().unwrap_or_default();
    let name = columns.saturating_sub(widest + 2).min(90);
    let mut lines = vec![vec![(title.to_owned(), theme.strong)]];
    for k in keys {
        lines.push(vec![
            (pad(&k.key, name, false, glyphs.ellipsis), theme.text),
            (format!("  {}", figures(k)), theme.dim),
        ]);
    }
    lines.push(Vec::new());
    lines
}
