//! What lies between the members: round trips, connections that fail, clocks.

use std::time::Duration;

use super::Settles::{Slowly, WhenItLasts};
use super::disk::told;
use super::{Case, Found, Rule, Slow};
use crate::model::metrics::Spread;
use crate::model::units::latency;
use crate::model::{MemberId, MemberView, Severity};
use crate::poll::scrapes::MIXIN_WINDOW;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "peer_cut",
        when: "messages from a member to a peer fail or are dropped, though both answer here for 45 s and more: warning",
        source: "etcdMembersDown of the mixin (its rate of failures, without its 20 min)",
        from: "etcd_network_peer_sent_failures_total",
        meaning: "Both members live, but what one sends does not reach the other on its peer url, or not fast enough for the buffer before it: a partition, a firewall, a certificate of peers, a peer that is too slow. Raft goes on as long as a majority finds each other; the one that is cut off falls behind and disturbs with elections.",
        settles: Slowly,
        find: peer_cut,
    },
    Rule {
        name: "rtt_slow",
        when: "p99 over 5 min above 10 ms: note; 150 ms: warning, but a note for 10 min after one of the two was away",
        source: "10 ms: etcd docs; 150 ms: etcdMemberCommunicationSlow of the mixin",
        from: "etcd_network_peer_round_trip_time_seconds (observed every 30 s)",
        meaning: "Every write waits for the round trip from the leader to the fastest majority; heartbeats pay it too. etcd observes a smoothed figure every 30 s, so one long stall is in it for minutes. The election timeout should be ten times the round trip.",
        settles: Slowly,
        find: rtt,
    },
    Rule {
        name: "clocks_differ",
        when: "the clocks of two members are more than a second apart: warning",
        source: "etcd logs a difference above 1 s; runbooks",
        from: "the Date of answers over HTTP",
        meaning: "Raft does not need clocks, but leases end by the clock of the leader, certificates by everybody's, and logs of an incident that are seconds apart cannot be read together.",
        settles: WhenItLasts,
        find: clocks,
    },
];

const RTT: Slow =
    Slow { note: Duration::from_millis(10), warning: Duration::from_millis(150), critical: Duration::MAX };

fn rtt(case: &Case<'_>, found: &mut Found<'_>) {
    let mut notes: Vec<(String, Spread)> = Vec::new();
    for m in case.view.members.iter().filter(|m| m.state.answers()) {
        let Some(window) = m.id.and_then(|id| case.history.window(id, MIXIN_WINDOW)) else { continue };
        let peers: Vec<MemberId> =
            window.newest().map(|s| s.peer_rtt.iter().map(|(id, _)| *id).collect()).unwrap_or_default();
        // A peer that was removed is still exported, and one that is down: etcd goes on observing the last round trip that it knew.
        let there = |to: &MemberId| case.view.member(*to).is_some_and(|peer| peer.state.answers());
        for to in peers.into_iter().filter(there) {
            let Some(spread) = window.spread(|s| s.rtt_to(to)) else { continue };
            let Some(severity) = RTT.severity(&spread) else { continue };
            // etcd observes a smoothed figure: one stop of a member is in it for minutes after that.
            let back = |m: &MemberView| case.history.came_back(m, 2 * MIXIN_WINDOW);
            let after_a_stop = back(m) || case.view.member(to).is_some_and(back);
            let severity = if after_a_stop { Severity::Note } else { severity };
            let pair = format!("{} to {}", m.label(), case.view.name_of(to));
            if severity == Severity::Note {
                notes.push((pair, spread));
                continue;
            }
            let line = format!("{pair} and back takes {} (p99)", latency(spread.p99));
            let f = found.add(severity, m.id, line, "look at the network between them");
            f.key.subject = Some(format!("to {to}"));
            f.evidence.push(told(&spread));
            f.evidence.push(RTT.words());
        }
    }
    // Not yet bad: one finding for all pairs.
    notes.sort_by_key(|(_, spread)| std::cmp::Reverse(spread.p99));
    let Some((pair, spread)) = notes.first() else { return };
    let more = match notes.len() - 1 {
        0 => String::new(),
        1 => "; one pair more too".to_owned(),
        n => format!("; {n} pairs more too"),
    };
    let line = format!("{pair} and back takes {} (p99){more}", latency(spread.p99));
    let f = found.add(Severity::Note, None, line, "watch it; look at the network between them");
    f.evidence.extend(notes.iter().map(|(pair, spread)| format!("{pair}: {}", told(spread))));
    f.evidence.push(RTT.words());
}

/// What is counted is only news while it goes on: a member that came back leaves its failures behind for minutes.
fn peer_cut(case: &Case<'_>, found: &mut Found<'_>) {
    const WINDOW: Duration = Duration::from_secs(120);
    const JUST_NOW: Duration = Duration::from_secs(25);
    /// A member that was away is sent to in vain until then, and that is still counted a scrape later.
    const BACK_FOR: Duration = Duration::from_secs(45);
    let long =
        |at: jiff::Timestamp| case.view.at.duration_since(at) > BACK_FOR.try_into().unwrap_or_default();
    let settled = |m: &&MemberView| {
        let started = m.metrics.as_ref().and_then(|x| x.started_at);
        m.listed && m.state.answers() && long(m.since) && started.is_none_or(long)
    };
    let members: Vec<&MemberView> = case.view.members.iter().filter(settled).collect();
    for m in &members {
        let Some(id) = m.id else { continue };
        let failures = |span, to: MemberId| {
            let of = |s: &crate::model::MetricsSample| {
                s.send_failures.iter().find(|(id, _)| *id == to).map(|(_, n)| *n)
            };
            let window = case.history.window(id, span)?;
            Some((window.rate(of)?, window.increase(of)?))
        };
        for to in members.iter().filter_map(|p| p.id).filter(|to| *to != id) {
            let Some((rate, count)) = failures(WINDOW, to).filter(|(rate, n)| *rate > 0.01 && *n > 1) else {
                continue;
            };
            if failures(JUST_NOW, to).is_none_or(|(_, now)| now == 0) {
                continue;
            }
            let peer = case.view.name_of(to);
            let line =
                format!("messages from {} to {peer} fail or are dropped, though both answer here", m.label());
            let f = found.add(Severity::Warning, m.id, line, "check the way between their peer urls");
            f.key.subject = Some(format!("to {to}"));
            f.evidence.push(format!("{count} failures, {rate:.2} a second over 2 min; warning above 0.01"));
        }
    }
}

fn clocks(case: &Case<'_>, found: &mut Found<'_>) {
    let known: Vec<_> =
        case.view.members.iter().filter(|m| m.state.answers()).filter_map(|m| Some((m, m.clock?))).collect();
    let pairs = known.iter().enumerate().flat_map(|(i, a)| known.iter().skip(i + 1).map(move |b| (a, b)));
    let Some((a, b)) = pairs.max_by(|(a, b), (c, d)| a.1.apart(b.1).total_cmp(&c.1.apart(d.1))) else {
        return;
    };
    let apart = a.1.apart(b.1);
    if apart > 1.0 {
        let (ahead, behind) = if a.1.low > b.1.low { (a, b) } else { (b, a) };
        let line = format!(
            "the clock of {} is at least {apart:.1} s ahead of that of {}",
            ahead.0.label(),
            behind.0.label()
        );
        let f = found.add(Severity::Warning, None, line, "set them by NTP");
        for (m, offset) in &known {
            f.evidence.push(format!(
                "{}: {:+.1} to {:+.1} s against this host",
                m.label(),
                offset.low,
                offset.high
            ));
        }
    }
}
