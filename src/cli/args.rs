//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::lab::LabArgs;
use crate::config::Flags;

/// The terminal cockpit for etcd.
#[derive(Debug, Parser)]
#[command(
    name = "etcdtop",
    version,
    about = "The terminal cockpit for etcd: what is wrong with a cluster, in one second, over SSH",
    after_help = "Without a command: the live dashboard.\n\
        Every flag can be given as ETCDTOP_NAME, those of etcdctl as ETCDCTL_NAME too, and in the config file.\n\
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

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every member, one row each
    Status,
    /// A linearizable read through each member, with its latency (exit: 0 ok, 1 warning, 2 critical, 3 unknown)
    Health,
    /// A real cluster on this machine, for training and for trying things
    Lab(LabArgs),
    /// Every setting, its value and where it came from
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
    /// The manual page, on standard output
    Man,
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
    #[arg(long, global = true, value_name = "LIST")]
    pub endpoints: Vec<String>,
    /// Use this context of the config file
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Read this config file instead of the one in the XDG place
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Certificate authority that signed the servers' certificates
    #[arg(long, global = true, value_name = "FILE")]
    pub cacert: Option<String>,
    /// Client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<String>,
    /// Key of the client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<String>,
    /// Name to expect in server certificates instead of the endpoint's host (tunnels)
    #[arg(long, global = true, value_name = "NAME")]
    pub server_name: Option<String>,
    /// User, or user:password; the password is asked for if it is not given
    #[arg(long, global = true, value_name = "USER[:PASSWORD]")]
    pub user: Option<String>,
    /// Password (better: ETCDTOP_PASSWORD, password_file or the prompt; a flag is seen by everybody on the host)
    #[arg(long, global = true, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// File with the password
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<String>,
    /// Limit of one attempt to connect [default: 2s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub dial_timeout: Option<String>,
    /// Limit of one call [default: 5s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub command_timeout: Option<String>,
    /// Pause between keep-alive pings, at least 10s [default: 2s, as etcdctl's]
    #[arg(long, global = true, value_name = "DURATION")]
    pub keepalive_time: Option<String>,
    /// How long a ping may stay unanswered [default: 6s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub keepalive_timeout: Option<String>,
    /// Allow plain http [default: true]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_transport: Option<String>,
    /// Accept any server certificate
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_skip_tls_verify: Option<String>,
    /// Domain whose SRV records name the endpoints
    #[arg(long, short = 'd', global = true, value_name = "DOMAIN")]
    pub discovery_srv: Option<String>,
    /// Service name in those records
    #[arg(long, global = true, value_name = "NAME")]
    pub discovery_srv_name: Option<String>,
    /// Where /metrics is, if not on the client url, such as http://*:2381 (* is the member's host)
    #[arg(long, global = true, value_name = "URL")]
    pub metrics_url: Option<String>,
    /// Refuse every change
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub read_only: Option<String>,
    /// Pause between two polls, 250ms to 1m [default: 1s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub interval: Option<String>,
    /// Output of commands: table, json, jsonl
    #[arg(
        long,
        short = 'o',
        visible_alias = "write-out",
        visible_short_alias = 'w',
        global = true,
        value_name = "FORMAT"
    )]
    pub output: Option<String>,
    /// Colour: auto, always, never [default: auto]
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<String>,
    /// Theme: dark, light, mono, colorblind [default: dark]
    #[arg(long, global = true, value_name = "NAME")]
    pub theme: Option<String>,
    /// No glyph beyond ASCII
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ascii: Option<String>,
    /// Log to this file (RUST_LOG chooses what)
    #[arg(long, global = true, value_name = "FILE")]
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
        let texts: [(&'static str, &Option<String>); 23] = [
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
            ("read_only", &self.read_only),
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
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_a_flag_that_reaches_the_config() {
        for setting in SETTINGS {
            let flag = format!("--{}=x", setting.name.replace('_', "-"));
            let cli = Cli::try_parse_from(["etcdtop", &flag]).unwrap_or_else(|e| panic!("{flag}: {e}"));
            assert_eq!(cli.global.flags().get(setting.name).map(String::as_str), Some("x"), "{flag}");
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
