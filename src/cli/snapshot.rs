//! `etcdtop snapshot`: saving one, what a snapshot file holds, and whether it can be trusted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Subcommand, ValueHint};
use color_eyre::Result;
use color_eyre::eyre::eyre;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::args::Cli;
use super::connect::{output, print, print_json, settings, warn};
use super::exit::Exit;
use super::folder::{KeepArgs, RestoreArgs, run_list, run_prune, run_restore_plan};
use super::members::named;
use super::operate::args::BoundArgs;
use super::operate::{Order, carry_out, in_runtime, metrics, printed, report, snapshot_dir};
use super::table::table;
use crate::config::{OutputFormat, Settings};
use crate::lab::drill::drill;
use crate::model::units::grouped;
use crate::model::{Bytes, ClusterId, ClusterView};
use crate::ops::plan::{Request, Verify};
use crate::snapshot::{
    DRILL_FAILED, Damage, Depth, Examined, Saved, Side, Snapshot, Status, besides, examine, hex, list,
};
use crate::term::{Signal, Signals};

/// The `snapshot` commands.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a snapshot of a member: checked while it streams, verified, and under its name only when it is whole
    Save {
        /// The file, or the folder for a name with cluster, time and revision [default: --snapshot-dir]
        #[arg(value_hint = ValueHint::AnyPath)]
        path: Option<PathBuf>,
        /// The member, by name, id or endpoint [default: the healthiest follower that has caught up]
        #[arg(long, value_name = "MEMBER")]
        member: Option<String>,
        /// How closely to look at it before it gets its name: fast reads its ends and branches, full all of it, drill
        /// restores it as well
        #[arg(long, value_name = "HOW", default_value = "full", value_parser = PossibleValuesParser::new(["fast", "full", "drill"]))]
        verify: String,
        /// What bounds it.
        #[command(flatten)]
        bounds: BoundArgs,
    },
    /// The snapshots of a folder: age, revision, size, verified how
    List {
        /// The folder [default: --snapshot-dir]
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
    /// Remove old snapshots of a folder; the newest verified one of each cluster always stays
    Prune {
        /// The folder [default: --snapshot-dir]
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        /// What stays.
        #[command(flatten)]
        keep: KeepArgs,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// How to bring a cluster back from a snapshot: the exact commands, the checks, the order
    RestorePlan(RestoreArgs),
    /// Restore a snapshot into a scratch folder, start that etcd on loopback, compare, and remove everything
    Drill {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Hash, revision, keys and size of a snapshot file, as etcdutl tells them
    Status {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// What a snapshot holds: keys, who fills it, what a compaction and a defragmentation would give back
    Inspect {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Whether a snapshot file is whole: its checksum, every page, every key (exit: 0 whole, 1 damaged)
    Verify {
        /// A snapshot, or a member's member/snap/db
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// It is a member's own db file: it has no checksum (so is one that is named db)
        #[arg(long)]
        raw: bool,
    },
}

pub(super) fn run(cli: &Cli, command: &SnapshotCommand) -> Result<Exit> {
    let settings = settings(cli)?;
    let format = output(&settings);
    match command {
        SnapshotCommand::Save { path, member, verify, bounds } => {
            save(&settings, path.as_deref(), member.as_deref(), verify, bounds)
        }
        SnapshotCommand::List { folder } => {
            run_list(&folder_of(&settings, folder.as_ref()), folder.is_some(), format)
        }
        SnapshotCommand::Prune { folder, keep, dry_run, yes } => {
            if settings.read_only.value && !dry_run {
                tell!("etcdtop: read-only ({}): nothing is removed", settings.read_only.origin);
                return Ok(Exit::Refused);
            }
            run_prune(&folder_of(&settings, folder.as_ref()), *keep, *dry_run, *yes, format)
        }
        SnapshotCommand::RestorePlan(args) => run_restore_plan(args, format),
        SnapshotCommand::Status { file } => status(file, format),
        SnapshotCommand::Drill { file } => run_drill(file, Some(format), None),
        SnapshotCommand::Inspect { file } => super::inspect::run(file, format),
        SnapshotCommand::Verify { file, raw } => verify(file, *raw, format),
    }
}

fn save(
    settings: &Settings,
    path: Option<&Path>,
    member: Option<&str>,
    verify: &str,
    bounds: &BoundArgs,
) -> Result<Exit> {
    bounds.speak();
    warn(settings);
    if let Some(file) = &bounds.metrics_file {
        metrics::check(file)?;
    }
    let (folder, name) = target(settings, path)?;
    if let Some(file) = name.as_ref().map(|name| folder.join(name)).filter(|file| file.exists()) {
        tell!("etcdtop: {} exists already, and no snapshot is ever overwritten", file.display());
        return Ok(Exit::Refused);
    }
    let how = if verify == "fast" { Verify::Fast } else { Verify::Full };
    let request = |view: &ClusterView| {
        let member = member.map(|m| named(view, m)).transpose()?;
        Ok(Request::Snapshot { member, folder: folder.clone(), name, verify: how })
    };
    let order = Order::read("snapshot save", bounds);
    let mut outcome = in_runtime(carry_out(settings, &order, request))?;
    let format = output(settings);
    let file = outcome.report().steps.iter().find_map(|s| s.saved().map(Path::to_owned));
    if let Some(file) = &file {
        if format == OutputFormat::Table {
            printed(print(&format!("{}\n", file.display())));
        }
        if verify == "drill" {
            let left = bounds.timeout.map(|all| all.saturating_sub(outcome.began.elapsed()));
            let drilled = run_drill(file, Some(format).filter(|f| *f == OutputFormat::Table), left);
            let exit = drilled.unwrap_or_else(|e| {
                tell!("etcdtop: {}: {e:#}", file.display());
                Exit::Failed
            });
            let how = if exit == Exit::Done { "drill" } else { DRILL_FAILED };
            // Who stopped it learned nothing.
            if matches!(exit, Exit::Done | Exit::Failed)
                && let Some(Err(e)) = Side::known(file).map(|side| side.verified_as(file, how))
            {
                tell!("etcdtop: {}: {e}", Side::path_of(file).display());
            }
            if exit != Exit::Done {
                outcome.ends(
                    exit,
                    report::Result::Failed,
                    "it was saved and verified, and the drill was not passed",
                );
            }
        }
    }
    // One document, of what is so in the end.
    printed(match (format, &file) {
        (OutputFormat::Json, Some(file)) => print_json(&Side::known(file)),
        (OutputFormat::Json, None) => print_json(&outcome.report()),
        (OutputFormat::Jsonl, _) => outcome.print_end(),
        (OutputFormat::Table, Some(_)) => Ok(()),
        (OutputFormat::Table, None) => print(&outcome.table()),
    });
    if let Some(metrics) = &bounds.metrics_file {
        let newest = newest(&folder, outcome.report().cluster_id);
        metrics::write(metrics, &outcome.report(), newest.as_ref());
    }
    Ok(outcome.exit)
}

/// The newest snapshot of a cluster in a folder.
fn newest(folder: &Path, cluster: Option<ClusterId>) -> Option<Saved> {
    let listing = list(folder).ok()?;
    let ours = |s: &Saved| s.side.as_ref().and_then(|s| s.cluster_id).is_some_and(|id| Some(id) == cluster);
    listing.saved.into_iter().find(ours)
}

fn folder_of(settings: &Settings, named: Option<&PathBuf>) -> PathBuf {
    named.cloned().unwrap_or_else(|| snapshot_dir(settings))
}

/// The signal that ends the program. A drill that was to be suspended goes on.
async fn ended(signals: &mut Signals) -> u8 {
    loop {
        if let Signal::End(number) = signals.next().await {
            return number;
        }
    }
}

/// What a drill needs to know, or what is wrong with the file.
fn readable(file: &Path) -> Option<(Snapshot, Examined)> {
    let (snapshot, found) = read(file, Depth::Verify)?;
    if found.damages.is_empty() {
        return Some((snapshot, found));
    }
    tell(file, &found.damages);
    None
}

/// `format`: none where nothing is to be printed. `left`: so long it may take.
fn run_drill(file: &Path, format: Option<OutputFormat>, left: Option<Duration>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let launcher = std::env::current_exe().ok();
    let path = file.to_owned();
    let drilled = runtime.block_on(async {
        // Ctrl-C drops the cluster, and with it its processes and its folder; a large file is read meanwhile.
        let mut signals = Signals::listen()?;
        let drilling = async {
            let (snapshot, found) = spawn_blocking(move || readable(&path)).await.ok().flatten()?;
            Some(Box::pin(drill(&snapshot, &found.status, launcher)).await)
        };
        let over = async {
            match left {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            drilled = drilling => Ok(Ok(drilled)),
            number = ended(&mut signals) => std::io::Result::Ok(Err(Exit::Signal(number))),
            () = over => {
                tell!("etcdtop: {}: the drill was not over within --timeout", file.display());
                Ok(Err(Exit::Failed))
            }
        }
    })?;
    runtime.shutdown_background();
    let drilled = match drilled {
        Err(exit) => return Ok(exit),
        Ok(None) => return Ok(Exit::Failed),
        Ok(Some(drilled)) => drilled,
    };
    match drilled {
        Err(e) => {
            tell!("etcdtop: {}: {e}", file.display());
            Ok(Exit::Failed)
        }
        Ok(drilled) => {
            match format {
                Some(OutputFormat::Table) => {
                    let same = match (drilled.revision, drilled.keys) {
                        (Some(r), Some(keys)) => format!(
                            "revision {}, {} keys, the same hash",
                            grouped(u64::try_from(r.0).unwrap_or_default()),
                            grouped(keys)
                        ),
                        _ => "authentication is on: what it holds only its users are told".into(),
                    };
                    tell!("{}: etcd {} runs from it: {same}", file.display(), drilled.version);
                }
                Some(OutputFormat::Json | OutputFormat::Jsonl) => print_json(&drilled)?,
                None => {}
            }
            Ok(Exit::Done)
        }
    }
}

/// The folder and, if a file was named, its name.
fn target(settings: &Settings, path: Option<&Path>) -> Result<(PathBuf, Option<String>)> {
    let here = std::env::current_dir()?;
    let Some(path) = path else { return Ok((here.join(snapshot_dir(settings)), None)) };
    let path = here.join(path);
    if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Ok((path, None));
    }
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| eyre!("{}: no name for a file", path.display()))?.to_owned();
    Ok((path.parent().unwrap_or(&here).to_owned(), Some(name)))
}

/// Reads a file, or says why it cannot be read.
fn read(file: &Path, depth: Depth) -> Option<(Snapshot, Examined)> {
    let read = Snapshot::open(file).and_then(|s| examine(&s, depth).map(|found| (s, found)));
    read.map_err(|e| tell!("etcdtop: {e}")).ok()
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
    if snapshot.trailer().is_some() {
        "with a checksum (verify looks at it)"
    } else {
        "raw db file, no checksum"
    }
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

fn verify(file: &Path, raw: bool, format: OutputFormat) -> Result<Exit> {
    let Some((snapshot, mut found)) = read(file, Depth::Verify) else { return Ok(Exit::Failed) };
    let raw = raw || file.file_name().is_some_and(|name| name == "db");
    found.damages.splice(0..0, besides(&snapshot, raw));
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

/// What is wrong, on standard error.
fn tell(file: &Path, damages: &[Damage]) {
    tell!("etcdtop: {} is damaged:", file.display());
    for damage in damages.iter().take(20) {
        tell!("  {damage}");
    }
    if damages.len() > 20 {
        tell!("  and {} more", damages.len() - 20);
    }
}
