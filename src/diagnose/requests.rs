//! What clients get to feel: requests that fail or take long.

use std::time::Duration;

use super::Settles::Slowly;
use super::disk::told;
use super::{Case, Found, Rule, Slow};
use crate::model::Severity;
use crate::model::metrics::Method;
use crate::model::units::{age, grouped, latency};
use crate::poll::scrapes::{MIXIN_WINDOW, Window};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "requests_failed",
        when: "more than 1% of the calls of a method fail over 5 min: warning; more than 5%: critical; fewer than 10 failures, none in the last 30 s, or a stream (Watch, LeaseKeepAlive): note; from 5 failures on",
        source: "etcdHighNumberOfFailedGRPCRequests of the mixin",
        from: "grpc_server_handled_total",
        meaning: "Counted are the codes that are etcd's fault or trouble: Unknown, FailedPrecondition, ResourceExhausted, Internal, Unavailable, DataLoss, DeadlineExceeded. ResourceExhausted is the quota (NOSPACE) or too many requests; Unavailable a lost leader or a member that ends.",
        settles: Slowly,
        find: failed,
    },
    Rule {
        name: "requests_slow",
        when: "p99 of 20 calls and more of a unary method but Defragment above 150 ms over 5 min: critical",
        source: "etcdGRPCRequestsSlow of the mixin",
        from: "grpc_server_handling_seconds (etcd --metrics=extensive only)",
        meaning: "How long clients wait for an answer, network excluded. Writes wait for disks and round trips, linearizable reads for the leader, large ranges for CPU and memory.",
        settles: Slowly,
        find: slow,
    },
];

/// Fewer failures than this are worth knowing, no more.
const FEW: u64 = 10;
/// And fewer than this nothing: somebody mistyped a command.
const FEWEST: u64 = 5;
/// When nothing failed for so long, it is over.
const LATELY: Duration = Duration::from_secs(30);
/// The p99 of fewer calls than this is the slowest one: one `MoveLeader` is no trend.
const ENOUGH: u64 = 20;
/// The mixin knows one threshold: critical.
const SLOW: Slow = Slow {
    note: Duration::from_millis(150),
    warning: Duration::from_millis(150),
    critical: Duration::from_millis(150),
};

fn methods<'a>(case: &Case<'a>, id: Option<crate::model::MemberId>) -> Option<(Window<'a>, Vec<&'a Method>)> {
    let window = case.history.window(id?, MIXIN_WINDOW)?;
    let methods = window.newest()?.methods.iter().map(|(m, _)| m).collect();
    Some((window, methods))
}

#[allow(clippy::cast_precision_loss)] // shares of calls
fn failed(case: &Case<'_>, found: &mut Found<'_>) {
    for m in case.view.members.iter().filter(|m| m.state.answers()) {
        let Some((window, methods)) = methods(case, m.id) else { continue };
        for method in methods {
            // A method that was called for the first time within the window was called 0 times before.
            let count = |pick: fn(&crate::model::metrics::Calls) -> u64| {
                window.increase(|s| Some(s.calls(method).map_or(0, pick))).unwrap_or(0)
            };
            let (handled, failed) = (count(|c| c.handled), count(|c| c.failed));
            let share = failed as f64 / handled.max(1) as f64;
            if share <= 0.01 || failed < FEWEST {
                continue;
            }
            let stream = window.newest().and_then(|s| s.calls(method)).is_some_and(|c| c.stream);
            // Over by now: what failed stays in the window for minutes.
            let lately = m.id.and_then(|id| case.history.window(id, LATELY));
            let lately = lately.and_then(|w| w.increase(|s| Some(s.calls(method).map_or(0, |c| c.failed))));
            let over = lately == Some(0);
            let severity = match share {
                _ if over => Severity::Note,
                // A watcher that goes away is a failed stream on older releases.
                _ if failed < FEW || stream => Severity::Note,
                share if share > 0.05 => Severity::Critical,
                _ => Severity::Warning,
            };
            let verb = if over { "failed, none of late" } else { "fail" };
            let line = format!(
                "{}: {:.1}% of {} calls {verb} ({} of {})",
                m.label(),
                share * 100.0,
                method.0,
                grouped(failed),
                grouped(handled)
            );
            let next = "read its log and the alarms: why are they refused?";
            let f = found.add(severity, m.id, line, next);
            f.key.subject = Some(method.0.to_string());
            let (failed, handled) = (grouped(failed), grouped(handled));
            f.evidence.push(format!("{failed} of {handled} in {}", age(window.span())));
            f.evidence.push("warning above 1%, critical above 5%, from 10 failures on".into());
        }
    }
}

fn slow(case: &Case<'_>, found: &mut Found<'_>) {
    for m in case.view.members.iter().filter(|m| m.state.answers()) {
        let Some((window, methods)) = methods(case, m.id) else { continue };
        for method in methods.into_iter().filter(|m| !m.0.ends_with("/Defragment")) {
            let Some(spread) = window.spread(|s| s.calls(method)?.handling.as_ref()) else { continue };
            if spread.count < ENOUGH {
                continue;
            }
            let Some(severity) = SLOW.severity(&spread) else { continue };
            let line = format!("{}: {} takes {} (p99)", m.label(), method.0, latency(spread.p99));
            let f = found.add(severity, m.id, line, "look at fsync, commit and round trips");
            f.key.subject = Some(method.0.to_string());
            f.evidence.push(told(&spread));
            f.evidence.push("critical above 150 ms, from 20 calls on".into());
        }
    }
}
