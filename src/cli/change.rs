//! `etcdtop compact`, `alarms`, `move-leader`, `recover`: a request each, from its flags.

use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use color_eyre::Result;
use serde::Serialize;

use super::args::Cli;
use super::connect::{access, output, poll_options, print, print_json, run_to_end, settings, warn};
use super::exit::Exit;
use super::members::named;
use super::operate::args::{BoundArgs, ChangeArgs, positive, share};
use super::operate::{Order, run, snapshot_dir};
use super::status::refuse_to_mix;
use super::table::table;
use crate::config::OutputFormat;
use crate::model::{AlarmKind, ClusterId, MemberId, Revision};
use crate::ops::plan::{Keep, Permille, Request};
use crate::ops::terms::Terms;
use crate::poll::Poll;

/// What `compact` takes.
#[derive(Args, Debug)]
pub struct CompactArgs {
    #[command(flatten)]
    floor: FloorArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Where history is to begin.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct FloorArgs {
    /// Keep the last so many revisions
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Keep everything from this revision on
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(i64).range(1..))]
    revision: Option<i64>,
}

/// The `alarms` commands.
#[derive(Debug, Subcommand)]
pub enum AlarmsCommand {
    /// The alarms that are raised, and who raised them
    List,
    /// Take them back: NOSPACE when every file is below the threshold, CORRUPT with --confirm alone
    Disarm(DisarmArgs),
}

/// What `alarms disarm` takes.
#[derive(Args, Debug)]
pub struct DisarmArgs {
    /// NOSPACE is taken back when every file is below this share of its quota
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_hint = ValueHint::Other, value_parser = share)]
    disarm_threshold: Permille,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What `move-leader` takes.
#[derive(Args, Debug)]
pub struct MoveLeaderArgs {
    /// Who is to lead: a member's name, id or endpoint
    #[arg(value_hint = ValueHint::Other)]
    target: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The `recover` commands.
#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// Out of NOSPACE in one plan: snapshot, compaction, rolling defragmentation, disarm, a write that proves it
    Nospace(RecoverArgs),
}

/// What `recover nospace` takes.
#[derive(Args, Debug)]
pub struct RecoverArgs {
    /// Revisions that the compaction keeps
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    keep: u64,
    /// Take no snapshot first
    #[arg(long)]
    no_snapshot: bool,
    /// NOSPACE is taken back when every file is below this share of its quota
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_hint = ValueHint::Other, value_parser = share)]
    disarm_threshold: Permille,
    /// Rewrite no further member when one was gone longer
    #[arg(long, value_name = "DURATION", value_hint = ValueHint::Other, value_parser = positive)]
    max_stall: Option<Duration>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl CompactArgs {
    pub(super) const fn bounds(&self) -> &BoundArgs {
        self.change.bounds()
    }
}

impl MoveLeaderArgs {
    pub(super) const fn bounds(&self) -> &BoundArgs {
        self.change.bounds()
    }
}

impl RecoverCommand {
    pub(super) const fn bounds(&self) -> &BoundArgs {
        let Self::Nospace(args) = self;
        args.change.bounds()
    }
}

impl AlarmsCommand {
    /// None where nothing is changed.
    pub(super) const fn bounds(&self) -> Option<&BoundArgs> {
        match self {
            Self::List => None,
            Self::Disarm(args) => Some(args.change.bounds()),
        }
    }
}

pub(super) fn compact(cli: &Cli, args: &CompactArgs) -> Result<Exit> {
    let keep = match (args.floor.keep, args.floor.revision) {
        (_, Some(revision)) => Keep::From(Revision(revision)),
        (keep, None) => Keep::Last(keep.unwrap_or_default()),
    };
    let order = Order::change("compact", &args.change, args.change.terms());
    run(&settings(cli)?, &order, |_| Ok(Request::Compact(keep)))
}

pub(super) fn alarms(cli: &Cli, command: Option<&AlarmsCommand>) -> Result<Exit> {
    match command {
        None | Some(AlarmsCommand::List) => list(cli),
        Some(AlarmsCommand::Disarm(args)) => {
            let terms = Terms { disarm_below: Some(args.disarm_threshold), ..args.change.terms() };
            let order = Order::change("alarms disarm", &args.change, terms);
            run(&settings(cli)?, &order, |_| Ok(Request::Disarm))
        }
    }
}

pub(super) fn move_leader(cli: &Cli, args: &MoveLeaderArgs) -> Result<Exit> {
    let order = Order::change("move-leader", &args.change, args.change.terms());
    run(&settings(cli)?, &order, |view| Ok(Request::MoveLeader { to: named(view, &args.target)? }))
}

pub(super) fn recover(cli: &Cli, command: &RecoverCommand) -> Result<Exit> {
    let RecoverCommand::Nospace(args) = command;
    let settings = settings(cli)?;
    let terms =
        Terms { disarm_below: Some(args.disarm_threshold), max_stall: args.max_stall, ..args.change.terms() };
    let order = Order::change("recover nospace", &args.change, terms);
    let folder =
        if args.no_snapshot { None } else { Some(std::env::current_dir()?.join(snapshot_dir(&settings))) };
    run(&settings, &order, |_| Ok(Request::RecoverNoSpace { folder, keep: args.keep }))
}

/// `alarms list -o json`.
#[derive(Serialize)]
struct AlarmsJson {
    cluster_id: Option<ClusterId>,
    /// Whether anybody could be asked: null alarms are not none.
    alarms: Option<Vec<AlarmJson>>,
}

#[derive(Serialize)]
struct AlarmJson {
    alarm: AlarmKind,
    member_id: MemberId,
    member: String,
}

fn list(cli: &Cli) -> Result<Exit> {
    let settings = settings(cli)?;
    warn(&settings);
    let view = run_to_end(async {
        let mut options = poll_options(access(&settings)?, &settings).await?;
        options.metrics_every = None;
        let limit = options.dialer.access().dial_timeout + options.dialer.access().command_timeout;
        Ok(Poll::start(options).settled(limit).await)
    })?;
    refuse_to_mix(&view)?;
    let reached = view.members.iter().any(|m| m.state.answers());
    let alarm = |a: &crate::model::Alarm| AlarmJson {
        alarm: a.kind,
        member_id: a.member,
        member: view.name_of(a.member),
    };
    let alarms: Vec<_> = view.alarms.iter().map(alarm).collect();
    match output(&settings) {
        OutputFormat::Table if alarms.is_empty() => {
            tell!("etcdtop: {}", if reached { "no alarm is raised" } else { "no member answers" });
        }
        OutputFormat::Table => {
            let row = |a: &AlarmJson| vec![a.alarm.to_string(), a.member.clone(), a.member_id.to_string()];
            print(&table(&["ALARM", "MEMBER", "ID"], &alarms.iter().map(row).collect::<Vec<_>>(), &[]))?;
        }
        OutputFormat::Json | OutputFormat::Jsonl => {
            let alarms = reached.then_some(alarms);
            print_json(&AlarmsJson { cluster_id: view.cluster_id, alarms })?;
        }
    }
    Ok(if reached { Exit::Done } else { Exit::Unreachable })
}
