//! `etcdtop snapshot`: what a snapshot file holds, and whether it can be trusted. No cluster is needed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueHint};
use color_eyre::Result;
use serde::Serialize;

use super::args::Cli;
use super::connect::{output, print, print_json, settings};
use super::exit::Exit;
use super::table::table;
use crate::config::OutputFormat;
use crate::model::Bytes;
use crate::model::units::grouped;
use crate::snapshot::{Damage, Depth, Examined, Snapshot, Status, examine};

/// The `snapshot` commands.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Hash, revision, keys and size of a snapshot file, as etcdutl tells them
    Status {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Whether a snapshot file is whole: its checksum, every page, every key (exit: 0 whole, 1 damaged)
    Verify {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

pub(super) fn run(cli: &Cli, command: &SnapshotCommand) -> Result<Exit> {
    let format = output(&settings(cli)?);
    match command {
        SnapshotCommand::Status { file } => status(file, format),
        SnapshotCommand::Verify { file } => verify(file, format),
    }
}

/// Reads a file, or says why it cannot be read.
fn read(file: &Path, depth: Depth) -> Option<(Snapshot, Examined)> {
    let read = Snapshot::open(file).and_then(|s| examine(&s, depth).map(|found| (s, found)));
    read.map_err(|e| eprintln!("etcdtop: {e}")).ok()
}

fn status(file: &Path, format: OutputFormat) -> Result<Exit> {
    let Some((snapshot, found)) = read(file, Depth::Status) else { return Ok(Exit::Failed) };
    // Figures of a file that could not be read whole are figures of another file.
    if !found.damages.is_empty() {
        tell(file, &found.damages);
        return Ok(Exit::Failed);
    }
    match format {
        OutputFormat::Table => print(&status_table(&snapshot, &found.status))?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&found.status)?,
    }
    Ok(Exit::Done)
}

fn status_table(snapshot: &Snapshot, s: &Status) -> String {
    let row = vec![
        format!("{:x}", s.hash),
        grouped(u64::try_from(s.revision.0).unwrap_or_default()),
        grouped(s.total_key),
        grouped(s.total_entries),
        s.total_size.to_string(),
        s.version.clone(),
        kind(snapshot).to_owned(),
    ];
    table(&["HASH", "REVISION", "KEYS", "ENTRIES", "SIZE", "VERSION", "FILE"], &[row], &[1, 2, 3, 4])
}

const fn kind(snapshot: &Snapshot) -> &'static str {
    if snapshot.trailer().is_some() { "snapshot with checksum" } else { "raw db file, no checksum" }
}

#[derive(Serialize)]
struct Verified<'a> {
    file: String,
    whole: bool,
    /// Whether there is a checksum at its end: a raw `member/snap/db` has none.
    checksum: bool,
    size: Bytes,
    sha256: Option<String>,
    status: &'a Status,
    damages: Vec<DamageJson<'a>>,
}

#[derive(Serialize)]
struct DamageJson<'a> {
    check: &'static str,
    page: Option<u64>,
    what: &'a str,
}

impl<'a> DamageJson<'a> {
    fn of(damage: &'a Damage) -> Self {
        Self { check: damage.check.word(), page: damage.page.map(|p| p.0), what: &damage.what }
    }
}

fn verify(file: &Path, format: OutputFormat) -> Result<Exit> {
    let Some((snapshot, found)) = read(file, Depth::Verify) else { return Ok(Exit::Failed) };
    let whole = found.damages.is_empty();
    match format {
        OutputFormat::Table if whole => {
            let sum = match found.sha256 {
                Some(sum) => format!("SHA-256 {}", hex(&sum)),
                None => {
                    "no checksum at its end: a raw member/snap/db; a byte of a value may be another unseen"
                        .into()
                }
            };
            let text = format!(
                "{}: whole\n{sum}\n{} pages of {} bytes, revision {}, {} keys\n",
                file.display(),
                grouped(snapshot.pages()),
                snapshot.meta().page_size,
                grouped(u64::try_from(found.status.revision.0).unwrap_or_default()),
                grouped(found.status.total_key)
            );
            print(&text)?;
        }
        OutputFormat::Table => tell(file, &found.damages),
        OutputFormat::Json | OutputFormat::Jsonl => {
            let damages = found.damages.iter().map(DamageJson::of).collect();
            print_json(&Verified {
                file: file.display().to_string(),
                whole,
                checksum: snapshot.trailer().is_some(),
                size: snapshot.size(),
                sha256: found.sha256.as_ref().map(|sum| hex(sum)),
                status: &found.status,
                damages,
            })?;
        }
    }
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// What is wrong, on standard error.
fn tell(file: &Path, damages: &[Damage]) {
    eprintln!("etcdtop: {} is damaged:", file.display());
    for damage in damages.iter().take(20) {
        eprintln!("  {damage}");
    }
    if damages.len() > 20 {
        eprintln!("  and {} more", damages.len() - 20);
    }
}
