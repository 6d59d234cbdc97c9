//! `etcdtop lab`: a real cluster on this machine, with the dashboard on it.

use clap::{Args, ValueEnum};
use color_eyre::Result;
use color_eyre::eyre::{Context, eyre};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::args::Cli;
use super::connect::{output, settings};
use super::dashboard::{self, Aside, Opening};
use super::exit::Exit;
use super::follow;
use super::record::{self, Tee};
use super::table::table;
use super::{lab_check, scenario};
use crate::config::{OutputFormat, parse_size};
use crate::etcd::Dialer;
use crate::lab::scenario::{MYSTERY, TABLE};
use crate::lab::{Cluster, Load, LoadKind, Spec};
use crate::model::Bytes;
use crate::poll;

/// What cluster to start.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // flags of a command line
pub struct LabArgs {
    /// A scenario, or `mystery` [default: a healthy cluster to try things on]
    #[arg(conflicts_with_all = ["members", "quota", "load", "keep", "no_dashboard", "follow"])]
    scenario: Option<String>,
    /// Every scenario, and what one learns in it
    #[arg(long, exclusive = true)]
    list: bool,
    /// Run the scenario, or all of them, without a screen: the right answer must solve it, a wrong one must not
    #[arg(long, conflicts_with_all = ["members", "quota", "load", "keep", "no_dashboard", "follow"])]
    check: bool,
    /// With --check: how many at the same time
    #[arg(long, default_value_t = 2, value_name = "N", requires = "check")]
    jobs: usize,
    /// Who plays which part, and which scenario is the mystery, follow from this [default: drawn anew]
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    seed: Option<u64>,
    /// How many members, 1 to 9
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    members: u8,
    /// Version of etcd, such as 3.6 [default: the newest on this machine]
    #[arg(long, value_name = "VERSION")]
    etcd_version: Option<String>,
    /// Quota of the database, such as 16MiB [default: etcd's own, 2 GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    quota: Option<u64>,
    /// What is written to it
    #[arg(long, value_enum, default_value_t = LoadArg::Light)]
    load: LoadArg,
    /// Keep the scratch folder
    #[arg(long)]
    keep: bool,
    /// Show a lab that runs in another terminal, from its recording: nothing can be changed there
    #[arg(long, conflicts_with_all = ["members", "etcd_version", "quota", "load", "keep", "no_dashboard"])]
    follow: bool,
    /// Print the endpoints and wait for Ctrl-C instead of opening the dashboard
    #[arg(long, conflicts_with = "record")]
    no_dashboard: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LoadArg {
    None,
    Light,
    Kubernetes,
}

impl From<LoadArg> for LoadKind {
    fn from(arg: LoadArg) -> Self {
        match arg {
            LoadArg::None => Self::None,
            LoadArg::Light => Self::Light,
            LoadArg::Kubernetes => Self::Kubernetes,
        }
    }
}

pub(super) fn run(cli: &Cli, args: &LabArgs) -> Result<Exit> {
    if let Some(flag) = cli.cluster_flag() {
        return Err(eyre!(
            "{flag} names a cluster, but a lab starts its own: leave it out, or run etcdtop without `lab`"
        ));
    }
    if args.list {
        print!("{}", list());
        return Ok(Exit::Done);
    }
    if args.follow {
        return follow::run(cli);
    }
    let settings = settings(cli)?;
    let launcher = std::env::current_exe().wrap_err("cannot tell where etcdtop itself is")?;
    if args.check {
        let wanted = lab_check::Wanted {
            scenario: args.scenario.as_deref(),
            version: args.etcd_version.clone(),
            jobs: args.jobs,
            json: output(&settings) != OutputFormat::Table,
            seed: args.seed.unwrap_or_else(draw),
            launcher,
        };
        return dashboard::runtime()?.block_on(async {
            let mut interrupted = Interrupts::new()?;
            tokio::select! {
                exit = lab_check::run(&wanted) => exit,
                number = interrupted.next() => Ok(Exit::Signal(number)),
            }
        });
    }
    if let Some(name) = &args.scenario {
        let mut first = args.seed;
        let mut seed = || first.take().unwrap_or_else(draw);
        return scenario::run(cli, &settings, name, args.etcd_version.as_deref(), &launcher, &mut seed);
    }
    if !args.no_dashboard {
        dashboard::need_terminal()?;
    }
    let tee = Tee::new(record::wanted(cli).map(|file| record::create(&file, None)).transpose()?);
    let spec = Spec {
        members: args.members.into(),
        version: args.etcd_version.clone(),
        quota: args.quota.map(Bytes),
        launcher: Some(launcher),
        ..Spec::default()
    };
    let runtime = dashboard::runtime()?;
    let started = runtime.block_on(async {
        eprintln!("etcdtop: starting {} members of etcd ...", spec.members);
        let mut interrupted = Interrupts::new()?;
        tokio::select! {
            cluster = Cluster::start(&spec) => Ok::<_, color_eyre::Report>(Ok(cluster?)),
            number = interrupted.next() => Ok(Err(number)),
        }
    })?;
    let mut cluster = match started {
        Ok(cluster) => cluster,
        Err(signal) => return Ok(Exit::Signal(signal)),
    };
    let load = {
        let _inside = runtime.enter();
        Load::start(&cluster, args.load.into())
    };
    let kept = args.keep.then(|| cluster.keep_folder());
    let exit = if args.no_dashboard {
        announce(&cluster);
        runtime.block_on(async { Ok::<_, color_eyre::Report>(Exit::Signal(Interrupts::new()?.next().await)) })
    } else {
        let endpoints = cluster.endpoints();
        let dialer = Dialer::new(cluster.access().clone(), &endpoints)?;
        let options = poll::Options {
            dialer,
            endpoints,
            interval: settings.interval.value,
            metrics_every: settings.metrics_interval.value,
            patience: poll::PATIENCE,
            known: Vec::new(),
        };
        let access = crate::app::state::Access {
            name: "lab".into(),
            origin: format!(
                "{} members of etcd {} on this machine",
                args.members,
                cluster.binaries().version
            ),
            read_only: settings.read_only.value.then(|| settings.read_only.origin.to_string()),
            lab: true,
            follower: false,
        };
        let aside = Aside { folder: Some(cluster.folder()), ..Aside::with(tee.of_lab(cluster.folder())) };
        dashboard::open(&runtime, &settings, Opening::Ready(options), access, aside)
    };
    drop(load);
    drop(cluster);
    runtime.shutdown_background();
    if let Some(folder) = kept {
        eprintln!("etcdtop: the lab's folder is kept: {}", folder.display());
    }
    // Ctrl-C is how one ends a lab without dashboard.
    exit.map(|e| if args.no_dashboard { Exit::Done } else { e })
}

/// Every scenario, and what one learns in it.
fn list() -> String {
    let row =
        |name: &str, title: &str, teaches: &str| vec![name.to_owned(), title.to_owned(), teaches.to_owned()];
    let mut rows: Vec<_> = TABLE.iter().map(|s| row(s.name, s.title, s.teaches)).collect();
    rows.push(row(
        MYSTERY,
        "Mystery drill",
        "one of those, and nobody tells which: find out, mend it, against the clock",
    ));
    table(&["SCENARIO", "TITLE", "TEACHES"], &rows, &[])
}

/// A number that nobody knows before.
fn draw() -> u64 {
    u64::from(Timestamp::now().subsec_nanosecond().unsigned_abs()) / 7
}

fn announce(cluster: &Cluster) {
    let endpoints: Vec<_> = cluster.endpoints().iter().map(ToString::to_string).collect();
    eprintln!("etcdtop: lab of etcd {} in {}", cluster.binaries().version, cluster.folder().display());
    for (member, endpoint) in cluster.members().iter().zip(&endpoints) {
        eprintln!("  {}  {endpoint}  process {}", member.name, member.pid().unwrap_or_default());
    }
    eprintln!(
        "  {} --endpoints={} endpoint status -w table",
        cluster.binaries().etcdctl.display(),
        endpoints.join(",")
    );
    eprintln!("Ctrl-C ends it and removes everything.");
    println!("{}", endpoints.join(","));
}

/// SIGINT, SIGTERM and SIGHUP: each ends the lab in order.
pub(super) struct Interrupts {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.int.recv() => 2,
            _ = self.term.recv() => 15,
            _ = self.hup.recv() => 1,
        }
    }
}
