//! `etcdtop defrag`: one member, some, or all in turn; with every flag of etcd-defrag, under its name there too.

use std::time::Duration;

use clap::{ArgAction, Args, ValueHint};
use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::args::Cli;
use super::connect::settings;
use super::exit::Exit;
use super::operate::args::{BoundArgs, ChangeArgs, positive, share};
use super::operate::{Order, run};
use crate::config::{parse_duration, parse_size};
use crate::model::{Bytes, ClusterView, MemberId, MemberView};
use crate::ops::plan::{Permille, Request, Roll};
use crate::ops::rule::Rule;
use crate::ops::terms::Terms;

// The comments of fields are the help texts of flags.
#[allow(clippy::doc_markdown)]
/// What `defrag` takes.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // flags, each its own
pub struct DefragArgs {
    /// Only this member, by name, id or endpoint; may be given more than once [default: every voter, the leader last]
    #[arg(long, value_name = "MEMBER", value_delimiter = ',', value_hint = ValueHint::Other)]
    member: Vec<String>,
    /// Not this member
    #[arg(long, value_name = "MEMBER", value_delimiter = ',', value_hint = ValueHint::Other)]
    exclude: Vec<String>,
    /// Not members whose client urls are all of this host alone (localhost, 127.0.0.1)
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    exclude_localhost: bool,
    /// All members of the cluster; --cluster=false: only those that --endpoints lead to
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true, conflicts_with = "member")]
    cluster: bool,
    /// Only members of which this is true when their turn comes: dbSize, dbSizeInUse, dbSizeFree, dbQuota, dbQuotaUsage
    #[arg(long, visible_alias = "defrag-rule", value_name = "EXPR", value_hint = ValueHint::Other, value_parser = rule)]
    rule: Option<Rule>,
    /// For the rule: the quota of members that do not tell theirs (before 3.6, without /metrics)
    #[arg(long, visible_alias = "etcd-storage-quota-bytes", value_name = "BYTES", value_hint = ValueHint::Other, value_parser = bytes)]
    quota: Option<Bytes>,
    /// Compact first, and wait until every member has dropped what was compacted
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    compaction: bool,
    /// Revisions that the compaction keeps
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    keep: u64,
    /// Let the best other voter lead before it is the leader's turn
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    move_leader: bool,
    /// Pause between two members, and after leadership has moved
    #[arg(long, visible_alias = "wait-between-defrags", value_name = "DURATION", value_hint = ValueHint::Other, value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Go on with the others when one member could not be defragmented
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    continue_on_error: bool,
    /// Take NOSPACE back afterwards, when every file is below the threshold
    #[arg(long, visible_alias = "auto-disalarm", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    auto_disarm: bool,
    /// That threshold, as a share of the quota
    #[arg(long, visible_alias = "disalarm-threshold", value_name = "SHARE", default_value = "0.9", value_hint = ValueHint::Other, value_parser = share)]
    disarm_threshold: Permille,
    /// End the roll when a member was gone longer
    #[arg(long, value_name = "DURATION", value_hint = ValueHint::Other, value_parser = positive)]
    max_stall: Option<Duration>,
    /// Of etcd-defrag; without effect: every voter must be well before any is touched
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    skip_healthcheck_cluster_endpoints: Option<bool>,
    /// Of etcdctl: false is --insecure-transport=false
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure_discovery: Option<bool>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl DefragArgs {
    pub(super) const fn bounds(&self) -> &BoundArgs {
        self.change.bounds()
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    Rule::parse(text).map_err(|e| e.to_string())
}

fn bytes(text: &str) -> Result<Bytes, String> {
    parse_size(text).map(Bytes)
}

pub(super) fn run_defrag(cli: &Cli, args: &DefragArgs) -> Result<Exit> {
    let mut settings = settings(cli)?;
    if args.insecure_discovery == Some(false) {
        settings.insecure_transport.value = false;
    }
    if args.skip_healthcheck_cluster_endpoints == Some(true) {
        tell!(
            "etcdtop: --skip-healthcheck-cluster-endpoints has no effect: every voter must be well before any is touched"
        );
    }
    if args.auto_disarm && args.change.locks() {
        return Err(eyre!(
            "--auto-disarm and --lock: a cluster that is out of space keeps no lock; let the host that disarms run alone, without --lock"
        ));
    }
    let terms = Terms {
        wait: args.wait.filter(|w| !w.is_zero()),
        max_stall: args.max_stall,
        disarm_below: Some(args.disarm_threshold),
        continue_on_error: args.continue_on_error,
        ..args.change.terms()
    };
    let order = Order::change("defrag", &args.change, terms);
    let named = settings.endpoints.value.clone();
    run(&settings, &order, |view| {
        let mut members = all_named(view, &args.member)?;
        if !args.cluster {
            let ours = |m: &&MemberView| {
                m.endpoint.as_ref().is_some_and(|e| named.iter().any(|n| n.same_address(e)))
            };
            members = view.members.iter().filter(ours).filter_map(|m| m.id).collect();
            if members.is_empty() {
                return Err(eyre!("--cluster=false: none of the endpoints leads to a member of the list"));
            }
        }
        let mut without = all_named(view, &args.exclude)?;
        if args.exclude_localhost {
            without.extend(view.members.iter().filter(|m| is_local(m)).filter_map(|m| m.id));
        }
        Ok(Request::Defragment(Roll {
            members,
            without,
            move_leader: args.move_leader,
            rule: args.rule.clone(),
            quota: args.quota,
            compact: args.compaction.then_some(args.keep),
            disarm: args.auto_disarm,
        }))
    })
}

fn all_named(view: &ClusterView, names: &[String]) -> Result<Vec<MemberId>> {
    names.iter().map(|name| super::members::named(view, name)).collect()
}

/// Whether nobody but its own host reaches it, by what it advertises.
fn is_local(m: &MemberView) -> bool {
    let local = |url: &str| crate::model::Endpoint::parse(url).is_ok_and(|e| e.is_loopback());
    !m.client_urls.is_empty() && m.client_urls.iter().all(|url| local(url.raw()))
}
