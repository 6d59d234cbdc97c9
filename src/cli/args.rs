//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::change::{AlarmsCommand, CompactArgs, MoveLeaderArgs, RecoverCommand};
use super::defrag::DefragArgs;
use super::diagnose::DiagnoseArgs;
use super::exit::Plugin;
use super::lab::LabArgs;
use super::record::RecordArgs;
use super::replay::ReplayArgs;
use super::snapshot::SnapshotCommand;
use crate::config::Flags;

/// The terminal cockpit for etcd.
#[derive(Debug, Parser)]
#[command(
    name = "etcdtop",
    version,
    about = "The terminal cockpit for etcd: what is wrong with a cluster, in one second, over SSH",
    after_help = "Without a command: the live dashboard.\n\
        Every global flag can be given as ETCDTOP_NAME, those of etcdctl as ETCDCTL_NAME too, and in the config file.\n\
        `etcdtop config show` tells which value is in force and where it came from.",
    max_term_width = 110
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do; nothing: the dashboard.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that say which cluster and how to reach it: a lab has its own.
const OF_A_CLUSTER: &[&str] = &[
    "endpoints",
    "context",
    "cacert",
    "cert",
    "key",
    "server_name",
    "user",
    "password",
    "password_file",
    "dial_timeout",
    "command_timeout",
    "keepalive_time",
    "keepalive_timeout",
    "insecure_transport",
    "insecure_skip_tls_verify",
    "discovery_srv",
    "discovery_srv_name",
    "metrics_url",
    "output",
];

/// What can be asked of every context at once.
const OF_ALL_CONTEXTS: &[&str] = &["status", "health", "diagnose", "snapshot"];

impl Cli {
    /// The command line, with help of each command that names the flags it uses.
    #[must_use]
    pub fn grammar() -> clap::Command {
        let grammar = Self::command();
        // clap hands a global flag down to a command unless that has one of the same name: so a hidden one.
        let hidden: Vec<_> = grammar
            .get_arguments()
            .filter(|a| OF_A_CLUSTER.contains(&a.get_id().as_str()))
            .map(|a| a.clone().hide(true))
            .collect();
        let of_a_replay: Vec<_> = hidden.iter().filter(|a| a.get_id() != "output").cloned().collect();
        let all =
            grammar.get_arguments().find(|a| a.get_id() == "all_contexts").map(|a| a.clone().hide(true));
        let others: Vec<_> = grammar.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        let others = others.into_iter().filter(|name| !OF_ALL_CONTEXTS.contains(&name.as_str()));
        others
            .fold(grammar, |grammar, name| grammar.mut_subcommand(name, |command| command.args(all.clone())))
            .mut_subcommand("lab", |lab| lab.args(hidden))
            .mut_subcommand("replay", |replay| replay.args(of_a_replay))
    }

    /// The first flag given that says which cluster or how to reach it.
    pub(super) fn cluster_flag(&self) -> Option<String> {
        let given = self.global.flags();
        let first = OF_A_CLUSTER.iter().find(|name| **name != "output" && given.contains_key(*name))?;
        Some(format!("--{}", first.replace('_', "-")))
    }

    /// Reads the program's arguments; ends the program itself: 0 after `--help` and `--version`, 2 on wrong usage, but 3 of
    /// what a monitoring system calls: to that 2 is a broken cluster.
    #[must_use]
    pub fn read() -> Self {
        let grammar = || super::shell::as_called(Self::grammar(), std::env::args_os().next().as_deref());
        let wrong = |e: clap::Error| -> ! {
            let plugin = std::env::args().any(|a| a == "health" || a == "diagnose");
            if !(plugin && e.use_stderr()) {
                e.exit();
            }
            // Nobody reads it when it cannot be printed.
            let _ = e.print();
            std::process::exit(Plugin::Unknown as i32)
        };
        let mut matches = grammar().try_get_matches().unwrap_or_else(|e| wrong(e));
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|e| wrong(e.format(&mut grammar())))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every member, one row each
    Status,
    /// A linearizable read through each member, with its latency (exit: 0 ok, 1 warning, 2 critical, 3 unknown)
    Health,
    /// What is wrong, worst first, and what to do about it (exit: 0 ok, 1 warning, 2 critical, 3 unknown)
    Diagnose(DiagnoseArgs),
    /// The alarms that are raised, or take them back
    Alarms {
        /// What to do; nothing: list them.
        #[command(subcommand)]
        command: Option<AlarmsCommand>,
    },
    /// Drop old revisions, physically, and wait until every member has
    Compact(CompactArgs),
    /// Defragment every member, one after the other, the leader last; or some
    Defrag(Box<DefragArgs>),
    /// Save snapshots, see what they hold, and whether they can be trusted
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// The way out of an alarm, as one plan
    Recover {
        /// Out of what.
        #[command(subcommand)]
        command: RecoverCommand,
    },
    /// Let another member lead, and wait until every member agrees
    MoveLeader(MoveLeaderArgs),
    /// Record a cluster into a file without a screen, until Ctrl-C
    Record(RecordArgs),
    /// Show a recording on the dashboard, or what happened in it
    Replay(ReplayArgs),
    /// A real cluster on this machine, for training and for trying things
    Lab(LabArgs),
    /// Show the settings in force, or where the config file is looked for
    Config {
        /// What to show.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Completions for a shell, on standard output
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// The manual page, on standard output; with --dir a page for each command, too
    Man {
        /// Write etcdtop.1 and a page for each command (etcdtop-snapshot-save.1) into this folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Where a run is to be told about, if somewhere.
    pub(super) fn metrics_file(&self) -> Option<&std::path::Path> {
        let bounds = match self {
            Self::Compact(args) => args.bounds(),
            Self::Defrag(args) => args.bounds(),
            Self::MoveLeader(args) => args.bounds(),
            Self::Recover { command } => command.bounds(),
            Self::Alarms { command: Some(command) } => command.bounds()?,
            Self::Snapshot { command: SnapshotCommand::Save { bounds, .. } } => bounds,
            _ => return None,
        };
        bounds.metrics_file.as_deref()
    }
}

/// The `config` commands.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting, its value and where it came from
    Show,
    /// Where the config file is looked for
    Path,
}

// The comments of fields are the help texts of flags.
#[allow(clippy::doc_markdown)]
/// Flags of every command. etcdctl's keep its names and meaning.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Global flags")]
pub struct GlobalArgs {
    /// Client endpoints, comma-separated; one is enough, the member list names the others
    #[arg(long, global = true, value_name = "LIST", value_hint = ValueHint::Other)]
    pub endpoints: Vec<String>,
    /// Use this context of the config file
    #[arg(long, global = true, value_name = "NAME", value_hint = ValueHint::Other)]
    pub context: Option<String>,
    /// Every context of the config file at once: the dashboard's fleet, status, health, diagnose, snapshot save
    #[arg(long, global = true)]
    pub all_contexts: bool,
    /// Read this config file instead of the one in the XDG place
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Certificate authority that signed the servers' certificates
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cacert: Option<String>,
    /// Client certificate
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cert: Option<String>,
    /// Key of the client certificate
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<String>,
    /// Name to expect in server certificates instead of the endpoint's host (tunnels)
    #[arg(long, global = true, value_name = "NAME", value_hint = ValueHint::Other)]
    pub server_name: Option<String>,
    /// User, or user:password; the password is asked for if it is not given
    #[arg(long, global = true, value_name = "USER[:PASSWORD]")]
    pub user: Option<String>,
    /// Password (better: ETCDTOP_PASSWORD, password_file or the prompt; a flag is seen by everybody on the host)
    #[arg(long, global = true, value_name = "PASSWORD", value_hint = ValueHint::Other)]
    pub password: Option<String>,
    /// File with the password
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<String>,
    /// Limit of one attempt to connect [default: 2s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub dial_timeout: Option<String>,
    /// Limit of one call [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub command_timeout: Option<String>,
    /// Pause between keep-alive pings; less than 10s is raised to that, as in etcdctl [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub keepalive_time: Option<String>,
    /// How long a ping may stay unanswered [default: 6s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub keepalive_timeout: Option<String>,
    /// Allow plain http [default: true]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_transport: Option<String>,
    /// Accept any server certificate
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_skip_tls_verify: Option<String>,
    /// Domain whose SRV records name the endpoints
    #[arg(long, short = 'd', global = true, value_name = "DOMAIN", value_hint = ValueHint::Other)]
    pub discovery_srv: Option<String>,
    /// Service name in those records
    #[arg(long, global = true, value_name = "NAME", value_hint = ValueHint::Other)]
    pub discovery_srv_name: Option<String>,
    /// Where /metrics is, if not on the client url, such as http://*:2381 (* is the member's host)
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Other)]
    pub metrics_url: Option<String>,
    /// Pause between two scrapes of /metrics, 1s to 1m; 0 for no scrapes [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub metrics_interval: Option<String>,
    /// Refuse every change
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub read_only: Option<String>,
    /// Where snapshots are saved [default: etcdtop/snapshots in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub snapshot_dir: Option<String>,
    /// When the terminal goes away while an operation runs: end its step, or finish the plan [default: step]
    #[arg(long, global = true, value_name = "WHAT", value_parser = PossibleValuesParser::new(["step", "finish"]))]
    pub on_hangup: Option<String>,
    /// Prefix of the key that proves a write after a recovery [default: etcdtop/]
    #[arg(long, global = true, value_name = "PREFIX", value_hint = ValueHint::Other)]
    pub proof_prefix: Option<String>,
    /// Pause between two polls, 250ms to 1m [default: 1s]
    #[arg(long, global = true, value_name = "DURATION", value_hint = ValueHint::Other)]
    pub interval: Option<String>,
    /// Output of commands
    #[arg(
        long,
        short = 'o',
        visible_alias = "write-out",
        visible_short_alias = 'w',
        global = true,
        value_name = "FORMAT",
        value_parser = PossibleValuesParser::new(["table", "json", "jsonl", "simple"])
    )]
    pub output: Option<String>,
    /// When to use colour [default: auto]
    #[arg(long, global = true, value_name = "WHEN", value_parser = PossibleValuesParser::new(["auto", "always", "never"]))]
    pub color: Option<String>,
    /// Theme [default: dark]
    #[arg(long, global = true, value_name = "NAME", value_parser = PossibleValuesParser::new(["dark", "light", "mono", "colorblind"]))]
    pub theme: Option<String>,
    /// No glyph beyond ASCII
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ascii: Option<String>,
    /// Record everything that the dashboard shows into a new file (or ETCDTOP_RECORD); `etcdtop record` does it without a screen
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// Log to this file (RUST_LOG chooses what)
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log_file: Option<String>,
}

impl GlobalArgs {
    /// What was given, by setting name.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let mut flags = Flags::new();
        if !self.endpoints.is_empty() {
            flags.insert("endpoints", self.endpoints.join(","));
        }
        let texts: [(&'static str, &Option<String>); 27] = [
            ("cacert", &self.cacert),
            ("cert", &self.cert),
            ("key", &self.key),
            ("server_name", &self.server_name),
            ("user", &self.user),
            ("password", &self.password),
            ("password_file", &self.password_file),
            ("dial_timeout", &self.dial_timeout),
            ("command_timeout", &self.command_timeout),
            ("keepalive_time", &self.keepalive_time),
            ("keepalive_timeout", &self.keepalive_timeout),
            ("insecure_transport", &self.insecure_transport),
            ("insecure_skip_tls_verify", &self.insecure_skip_tls_verify),
            ("discovery_srv", &self.discovery_srv),
            ("discovery_srv_name", &self.discovery_srv_name),
            ("metrics_url", &self.metrics_url),
            ("metrics_interval", &self.metrics_interval),
            ("read_only", &self.read_only),
            ("snapshot_dir", &self.snapshot_dir),
            ("on_hangup", &self.on_hangup),
            ("proof_prefix", &self.proof_prefix),
            ("interval", &self.interval),
            ("output", &self.output),
            ("color", &self.color),
            ("theme", &self.theme),
            ("ascii", &self.ascii),
            ("log_file", &self.log_file),
        ];
        flags.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::grammar().debug_assert();
    }

    #[test]
    fn the_help_of_lab_names_only_flags_that_a_lab_uses() {
        let mut grammar = Cli::grammar();
        grammar.build();
        let lab = grammar.find_subcommand_mut("lab").unwrap();
        let help = lab.render_long_help().to_string();
        for used in ["--members", "--quota", "--interval", "--theme"] {
            assert!(help.contains(used), "{used} is missing:\n{help}");
        }
        for name in OF_A_CLUSTER {
            let flag = format!("--{}", name.replace('_', "-"));
            assert!(!help.split_whitespace().any(|w| w == flag), "{flag}:\n{help}");
        }
        // They are still understood there, so that the lab can say why it takes none of them.
        let matches = Cli::grammar().try_get_matches_from(["etcdtop", "lab", "--endpoints", "a:1"]).unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();
        assert_eq!(cli.global.endpoints, ["a:1"]);
        assert_eq!(cli.cluster_flag(), Some("--endpoints".into()));
    }

    #[test]
    fn every_setting_has_a_flag_that_reaches_the_config() {
        for setting in SETTINGS {
            let value = match setting.name {
                "output" => "jsonl",
                "color" => "never",
                "theme" => "light",
                "on_hangup" => "finish",
                _ => "x",
            };
            let flag = format!("--{}={value}", setting.name.replace('_', "-"));
            let cli = Cli::try_parse_from(["etcdtop", &flag]).unwrap_or_else(|e| panic!("{flag}: {e}"));
            assert_eq!(cli.global.flags().get(setting.name).map(String::as_str), Some(value), "{flag}");
        }
    }

    #[test]
    fn flags_stand_before_or_after_the_command_and_w_is_o() {
        for line in [["etcdtop", "-w", "json", "status"], ["etcdtop", "status", "--write-out", "json"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.flags()["output"], "json");
        }
        let cli = Cli::try_parse_from(["etcdtop", "--read-only", "--ascii=false"]).unwrap();
        assert_eq!(
            (cli.global.flags()["read_only"].as_str(), cli.global.flags()["ascii"].as_str()),
            ("true", "false")
        );
    }
}
