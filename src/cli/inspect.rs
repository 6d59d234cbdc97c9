//! `etcdtop snapshot inspect`: what a snapshot holds.

use std::fmt::Write as _;
use std::path::Path;

use color_eyre::Result;

use super::connect::{print, print_json};
use super::exit::Exit;
use super::table::table;
use crate::config::OutputFormat;
use crate::model::Bytes;
use crate::model::text::printable;
use crate::model::units::{grouped, percent};
use crate::snapshot::{Inspected, KeyFigures, Snapshot, inspect};

/// Prefixes that the table shows; JSON has them all.
const SHOWN: usize = 15;

pub(super) fn run(file: &Path, format: OutputFormat) -> Result<Exit> {
    let opened = Snapshot::open(file).map_err(|e| e.to_string());
    let found = opened.and_then(|s| inspect(&s).map_err(|damage| format!("{}: {damage}", file.display())));
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            eprintln!("etcdtop: {why}");
            return Ok(Exit::Failed);
        }
    };
    match format {
        OutputFormat::Table => print(&human(&found))?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&found)?,
    }
    Ok(Exit::Done)
}

fn human(i: &Inspected) -> String {
    let mut out = String::new();
    let share = |part: Bytes| percent(part.share_of(i.size));
    let revision = grouped(u64::try_from(i.revision.0).unwrap_or_default());
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "{name:<22}{text}");
    };
    line("revision", revision);
    line("keys", format!("{} there, {} leases", grouped(i.live_keys), grouped(i.leases)));
    line("changes", format!("{}, {} of them deletes", grouped(i.changes), grouped(i.tombstones)));
    line("size", format!("{}, {} ({}) in use", i.size, i.in_use, share(i.in_use)));
    line("free pages", grouped(i.free_pages));
    line("defragmented", format!("about {}", i.after_defragmentation));
    line("compacted as well", format!("about {}", i.after_compaction));
    let rows = i.prefixes.iter().take(SHOWN).map(|p| {
        vec![
            printable(&p.prefix).into_owned(),
            grouped(p.live_keys),
            p.live_bytes.to_string(),
            grouped(p.changes),
            p.bytes.to_string(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(&["KEYS OF", "THERE", "BYTES", "CHANGES", "THEIR BYTES"], &rows, &[1, 2, 3, 4]));
    }
    if i.prefixes.len() > SHOWN {
        let _ = writeln!(out, "and {} more (-o json)", i.prefixes.len() - SHOWN);
    }
    let mut keys = |title: &str, keys: &[KeyFigures]| {
        if !keys.is_empty() {
            let rows: Vec<_> =
                keys.iter().map(|k| vec![k.key.clone(), k.bytes.to_string(), grouped(k.changes)]).collect();
            out.push('\n');
            out.push_str(&table(&[title, "VALUE", "CHANGES"], &rows, &[1, 2]));
        }
    };
    keys("LARGEST KEYS", &i.largest);
    keys("MOST CHANGED KEYS", &i.most_revised);
    let rows: Vec<_> = i
        .buckets
        .iter()
        .map(|b| vec![printable(&b.name).into_owned(), grouped(b.entries), b.bytes.to_string()])
        .collect();
    out.push('\n');
    out.push_str(&table(&["BUCKET", "ENTRIES", "BYTES"], &rows, &[1, 2]));
    let rows: Vec<_> = i
        .pages
        .iter()
        .map(|p| {
            let whole = Bytes(p.pages * i.page_size);
            vec![p.kind.to_owned(), grouped(p.pages), percent(p.used.share_of(whole))]
        })
        .collect();
    out.push('\n');
    out.push_str(&table(&["PAGES", "COUNT", "FILLED"], &rows, &[1, 2]));
    out
}
