//! What happened: the entries of the timeline, concluded from two views in a row.

use jiff::Timestamp;

use super::cluster::ClusterView;
use super::finding::Severity;
use super::ids::MemberId;
use super::member::{MemberState, MemberView};
use super::verdict::{Verdict, VerdictKind};

/// One entry of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was noticed here.
    pub at: Timestamp,
    /// How bad; coming back is a note.
    pub severity: Severity,
    /// What kind of thing happened.
    pub kind: EventKind,
    /// The member it is about.
    pub member: Option<MemberId>,
    /// The entry in words, safe to print.
    pub line: String,
}

/// The kinds of entry, for filtering and for marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The verdict changed.
    Verdict,
    /// Another leader, or none.
    Leader,
    /// A member changed its state.
    Member,
    /// A member was added or removed, or changed its name or version.
    Membership,
    /// An alarm was raised or disarmed.
    Alarm,
    /// A finding came or went.
    Finding,
    /// An operation of ours ended.
    Operation,
}

/// What changed from `before` to `after`, the verdict first. `verdicts` are those of the two views.
#[must_use]
pub fn between(before: &ClusterView, after: &ClusterView, verdicts: (&Verdict, &Verdict)) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push =
        |severity, kind, member, line| events.push(Event { at: after.at, severity, kind, member, line });

    // Until the first member list nothing can have changed: it is only being found out.
    let known = before.listed() > 0;
    if let (false, Some(id)) = (known || after.listed() == 0, after.cluster_id) {
        let leader = after.leader.map_or_else(String::new, |id| format!(", {} leads", after.name_of(id)));
        let term = after.term.map_or_else(String::new, |t| format!(", term {}", t.0));
        let members =
            if after.listed() == 1 { "1 member".into() } else { format!("{} members", after.listed()) };
        let line = format!("found {members}{leader}{term}, cluster {id}");
        push(Severity::Note, EventKind::Membership, None, line);
    }
    if known {
        leader_change(before, after, &mut push);
        membership(before, after, &mut push);
    }
    for m in &after.members {
        let Some(old) = find_same(before, m) else { continue };
        if old.state != m.state && old.state != MemberState::Connecting {
            push(state_severity(m.state), EventKind::Member, m.id, state_line(old, m));
        }
        if let (Some(a), Some(b)) = (&old.status, &m.status)
            && a.version != b.version
        {
            let line = format!("{} runs {} (was {})", m.label(), b.version, a.version);
            push(Severity::Note, EventKind::Membership, m.id, line);
        }
    }
    for alarm in after.alarms.iter().filter(|a| !before.alarms.contains(a)) {
        let line = format!("alarm {} raised by {}", alarm.kind, after.name_of(alarm.member));
        push(Severity::Critical, EventKind::Alarm, Some(alarm.member), line);
    }
    for alarm in before.alarms.iter().filter(|a| !after.alarms.contains(a)) {
        let line = format!("alarm {} of {} disarmed", alarm.kind, after.name_of(alarm.member));
        push(Severity::Note, EventKind::Alarm, Some(alarm.member), line);
    }
    if verdicts.0.kind != verdicts.1.kind {
        let v = verdicts.1;
        // The entries of the same moment are the reason, if there are any.
        let told = !events.is_empty() || v.reason.is_empty();
        let line = if told { v.headline.clone() } else { format!("{}: {}", v.headline, v.reason) };
        let severity = v.kind.severity();
        events.insert(0, Event { at: after.at, severity, kind: EventKind::Verdict, member: None, line });
    }
    events
}

type Push<'a> = dyn FnMut(Severity, EventKind, Option<MemberId>, String) + 'a;

fn leader_change(before: &ClusterView, after: &ClusterView, push: &mut Push<'_>) {
    if before.leader == after.leader {
        if let (Some(a), Some(b)) = (before.term, after.term)
            && a != b
            && let Some(leader) = after.leader
        {
            let line = format!("{} leads again, term {} (was {})", after.name_of(leader), b.0, a.0);
            push(Severity::Note, EventKind::Leader, Some(leader), line);
        }
        return;
    }
    let term = after.term.map_or_else(String::new, |t| format!(", term {}", t.0));
    match (before.leader, after.leader) {
        (_, None) if before.leader.is_some() => {
            push(Severity::Critical, EventKind::Leader, before.leader, "no leader is known".into());
        }
        (was, Some(now)) => {
            let was = was.map_or_else(String::new, |id| format!(" (was {})", before.name_of(id)));
            let severity = if was.is_empty() { Severity::Note } else { Severity::Warning };
            push(severity, EventKind::Leader, Some(now), format!("{} leads{term}{was}", after.name_of(now)));
        }
        _ => {}
    }
}

fn membership(before: &ClusterView, after: &ClusterView, push: &mut Push<'_>) {
    for m in after.members.iter().filter(|m| m.listed) {
        let Some(id) = m.id else { continue };
        match before.member(id).filter(|old| old.listed) {
            None => push(
                Severity::Note,
                EventKind::Membership,
                m.id,
                format!("member {} ({id}) was added", m.label()),
            ),
            Some(old) if old.learner && !m.learner => {
                push(
                    Severity::Note,
                    EventKind::Membership,
                    m.id,
                    format!("learner {} was promoted", m.label()),
                );
            }
            Some(_) => {}
        }
    }
    for m in before.members.iter().filter(|m| m.listed) {
        let Some(id) = m.id else { continue };
        if !after.member(id).is_some_and(|now| now.listed) {
            push(
                Severity::Warning,
                EventKind::Membership,
                m.id,
                format!("member {} ({id}) was removed", m.label()),
            );
        }
    }
}

fn find_same<'a>(view: &'a ClusterView, m: &MemberView) -> Option<&'a MemberView> {
    match m.id {
        Some(id) => view.member(id),
        None => view.members.iter().find(|old| old.id.is_none() && old.endpoint == m.endpoint),
    }
}

const fn state_severity(state: MemberState) -> Severity {
    match state {
        MemberState::Ok | MemberState::Connecting | MemberState::Unstarted | MemberState::Defragmenting => {
            Severity::Note
        }
        MemberState::Slow => Severity::Warning,
        _ => Severity::Critical,
    }
}

fn state_line(old: &MemberView, now: &MemberView) -> String {
    let detail = now.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
    format!("{} {} (was {}){detail}", now.label(), now.state.shown(), old.state.shown())
}

impl VerdictKind {
    /// How bad a change to this verdict is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Healthy | Self::Connecting => Severity::Note,
            Self::Warning | Self::Degraded => Severity::Warning,
            _ => Severity::Critical,
        }
    }
}
