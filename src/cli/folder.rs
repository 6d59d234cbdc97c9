//! `etcdtop snapshot list`, `prune` and `restore-plan`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use serde::Serialize;

use super::connect::{print, print_json};
use super::exit::Exit;
use super::table::table;
use crate::config::OutputFormat;
use crate::model::text::printable;
use crate::model::units::{age, grouped};
use crate::model::{Bytes, ClusterId, Revision};
use crate::snapshot::{
    Keep, Listing, Saved, Side, Snapshot, Wishes, besides, inspect, list, prune, restore_plan, retain,
};

/// What a folder keeps.
#[derive(Args, Clone, Copy, Debug)]
pub struct KeepArgs {
    /// The newest so many
    #[arg(long = "keep-last", value_name = "N", default_value_t = 0)]
    last: u32,
    /// The newest of each of the last N hours that have one
    #[arg(long = "keep-hourly", value_name = "N", default_value_t = 0)]
    hourly: u32,
    /// Of days
    #[arg(long = "keep-daily", value_name = "N", default_value_t = 0)]
    daily: u32,
    /// Of weeks
    #[arg(long = "keep-weekly", value_name = "N", default_value_t = 0)]
    weekly: u32,
}

#[derive(Serialize)]
struct Row<'a> {
    file: String,
    taken_at: Timestamp,
    size: Bytes,
    cluster_id: Option<ClusterId>,
    revision: Option<Revision>,
    keys: Option<u64>,
    verified: Option<&'a str>,
    problem: Option<&'a str>,
    /// In a plan to prune: `goes`, or why it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    fate: Option<String>,
}

impl<'a> Row<'a> {
    fn of(saved: &'a Saved) -> Self {
        let side = saved.side.as_ref();
        Self {
            file: saved.path.display().to_string(),
            taken_at: saved.taken_at,
            size: saved.size,
            cluster_id: side.and_then(|s| s.cluster_id),
            revision: side.map(|s| s.revision),
            keys: side.and_then(|s| s.status.as_ref()).map(|s| s.total_key),
            verified: side.filter(|_| saved.is_verified()).map(|s| s.verified.as_str()),
            problem: saved.problem.as_deref(),
            fate: None,
        }
    }

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let old = Duration::try_from(now.duration_since(self.taken_at)).unwrap_or_default();
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), grouped);
        vec![
            age(old),
            number(self.revision.and_then(|r| u64::try_from(r.0).ok())),
            number(self.keys),
            self.size.to_string(),
            printable(self.problem.or(self.verified).unwrap_or("-")).into_owned(),
            printable(&self.file).into_owned(),
        ]
    }
}

const HEAD: [&str; 6] = ["AGE", "REVISION", "KEYS", "SIZE", "VERIFIED", "FILE"];

/// `named`: somebody said which folder; the usual one need not be there.
pub(super) fn run_list(folder: &Path, named: bool, format: OutputFormat) -> Result<Exit> {
    let found = match list(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !named => Listing::default(),
        Err(e) => {
            eprintln!("etcdtop: {}: {e}", folder.display());
            return Ok(Exit::Failed);
        }
        Ok(found) => found,
    };
    let rows: Vec<_> = found.saved.iter().map(Row::of).collect();
    match format {
        OutputFormat::Table if rows.is_empty() => eprintln!("etcdtop: no snapshot in {}", folder.display()),
        OutputFormat::Table => {
            let now = Timestamp::now();
            let cells: Vec<_> = rows.iter().map(|r| r.cells(now)).collect();
            print(&table(&HEAD, &cells, &[0, 1, 2, 3]))?;
        }
        OutputFormat::Json => print_json(&rows)?,
        OutputFormat::Jsonl => rows.iter().try_for_each(print_json)?,
    }
    for part in &found.parts {
        eprintln!(
            "etcdtop: {} is not whole: somebody writes it now, or was killed; remove it if nobody does",
            part.display()
        );
    }
    Ok(Exit::Done)
}

pub(super) fn run_prune(
    folder: &Path,
    keep: KeepArgs,
    dry_run: bool,
    yes: bool,
    format: OutputFormat,
) -> Result<Exit> {
    let keep = Keep { last: keep.last, hourly: keep.hourly, daily: keep.daily, weekly: keep.weekly };
    if keep.is_nothing() {
        return Err(eyre!(
            "what is to be kept? --keep-last N, --keep-hourly N, --keep-daily N, --keep-weekly N"
        ));
    }
    let found = list(folder).map_err(|e| eyre!("{}: {e}", folder.display()))?;
    let fates = retain(&found.saved, keep);
    let rows: Vec<_> =
        fates.iter().map(|(s, why)| Row { fate: Some(fate(why.as_deref())), ..Row::of(s) }).collect();
    let going = fates.iter().filter(|(_, why)| why.is_none()).count();
    match format {
        OutputFormat::Table => {
            let now = Timestamp::now();
            let cells: Vec<_> = rows
                .iter()
                .map(|r| {
                    let mut cells = r.cells(now);
                    cells.insert(0, r.fate.clone().unwrap_or_default());
                    cells
                })
                .collect();
            let mut head = vec!["PLAN"];
            head.extend(HEAD);
            print(&table(&head, &cells, &[1, 2, 3, 4]))?;
        }
        OutputFormat::Json => print_json(&rows)?,
        OutputFormat::Jsonl => rows.iter().try_for_each(print_json)?,
    }
    for part in &found.parts {
        eprintln!(
            "etcdtop: {} is not whole: it goes, unless somebody writes it",
            printable(&part.display().to_string())
        );
    }
    if dry_run || going == 0 && found.parts.is_empty() {
        return Ok(Exit::Done);
    }
    if !yes && !asked(&format!("remove {going} of {} snapshots?", found.saved.len()))? {
        eprintln!("etcdtop: nothing was removed");
        return Ok(Exit::Refused);
    }
    let done = prune(&fates, &found.parts);
    for path in &done.removed {
        eprintln!("removed {}", printable(&path.display().to_string()));
    }
    for line in &done.kept {
        eprintln!("etcdtop: {}", printable(line));
    }
    Ok(if done.kept.is_empty() { Exit::Done } else { Exit::Failed })
}

fn fate(why: Option<&str>) -> String {
    why.map_or_else(|| "goes".to_owned(), |why| format!("stays: {why}"))
}

/// Asks on the terminal; without one the answer is no.
fn asked(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("etcdtop: {question} There is no terminal to ask: say --yes");
        return Ok(false);
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

/// What a restore plan is made from.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The snapshot
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Members as `NAME=PEER_URL`, comma-separated [default: those of the side file]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    initial_cluster: Vec<String>,
    /// Where each member's new data goes
    #[arg(long, value_name = "DIR", default_value = "/var/lib/etcd-restored")]
    data_dir: String,
    /// A new token, so that no old member joins by mistake [default: from the time]
    #[arg(long, value_name = "TOKEN")]
    initial_cluster_token: Option<String>,
}

pub(super) fn run_restore_plan(args: &RestoreArgs, format: OutputFormat) -> Result<Exit> {
    let failed = |why: String| {
        eprintln!("etcdtop: {why}");
        Ok(Exit::Failed)
    };
    let snapshot = match Snapshot::open(&args.file) {
        Ok(snapshot) => snapshot,
        Err(e) => return failed(e.to_string()),
    };
    // A plan of another file's revision and members would be worse than none.
    if let Some(damage) = besides(&snapshot, true).first() {
        return failed(format!("{}: {damage}", args.file.display()));
    }
    let side = Side::known(&args.file);
    let members = args.initial_cluster.iter().map(|m| {
        let (name, url) =
            m.split_once('=').ok_or_else(|| eyre!("--initial-cluster {m:?}: write NAME=PEER_URL"))?;
        Ok((name.to_owned(), url.to_owned()))
    });
    let found = match inspect(&snapshot) {
        Ok(found) => found,
        Err(damage) => return failed(format!("{}: {damage}", args.file.display())),
    };
    // Where the API server keeps its objects there is always one of these.
    let kubernetes = found.prefixes.iter().any(|p| p.prefix == "namespaces");
    let token = args
        .initial_cluster_token
        .clone()
        .unwrap_or_else(|| format!("restored-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")));
    let wishes = Wishes {
        data_dir: &args.data_dir,
        token: &token,
        members: members.collect::<Result<_>>()?,
        raw: snapshot.trailer().is_none(),
        kubernetes,
    };
    let file = args.file.canonicalize()?;
    let plan = restore_plan(&file, side.as_ref(), &wishes).map_err(|why| eyre!("{why}"))?;
    match format {
        OutputFormat::Table => print(&plan.to_string())?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&plan)?,
    }
    Ok(Exit::Done)
}
