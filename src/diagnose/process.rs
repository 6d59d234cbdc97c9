//! What the processes take from their hosts.

use super::Settles::Slowly;
use super::{Case, Found, Rule};
use crate::model::units::{grouped, percent};
use crate::model::{Bytes, Severity};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "open_files",
        when: "more than 80% of the file descriptors are open: warning",
        source: "etcd's old alert FileDescriptorsExhaustedSoon; runbooks",
        from: "process_open_fds, process_max_fds",
        meaning: "Each client connection takes one. When there are none left, etcd accepts no connection and can open no file of its log: it ends with a panic.",
        settles: Slowly,
        find: open_files,
    },
    Rule {
        name: "memory",
        when: "resident memory above 1 GiB and above three times the file: warning",
        source: "runbooks",
        from: "process_resident_memory_bytes, Status.dbSize",
        meaning: "etcd maps its file and holds an index of all keys: about the size of the file and some more is usual. Several times of it are watchers that are behind, large ranges without a limit, or streams of snapshots that nobody reads.",
        settles: Slowly,
        find: memory,
    },
];

#[allow(clippy::cast_precision_loss)] // a share
fn open_files(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        let Some((open, most)) = case.fresh(m).and_then(|x| Some((x.open_fds?, x.max_fds?))) else {
            continue;
        };
        let share = open as f64 / most.max(1) as f64;
        if share > 0.8 {
            let line = format!("{}: {} of its {} files are open", m.label(), percent(share), grouped(most));
            let f = found.add(Severity::Warning, m.id, line, "find who keeps connections; raise LimitNOFILE");
            f.evidence.push(format!("{} of {}; warning above 80%", grouped(open), grouped(most)));
        }
    }
}

fn memory(case: &Case<'_>, found: &mut Found<'_>) {
    const LEAST: Bytes = Bytes(1 << 30);
    for m in &case.view.members {
        let Some(memory) = case.fresh(m).and_then(|x| x.resident_memory).filter(|b| *b > LEAST) else {
            continue;
        };
        let Some(size) = m.status.as_ref().and_then(|s| s.db_size) else { continue };
        if memory.0 / 3 > size.0 {
            let line = format!("{} takes {memory} of memory for a file of {size}", m.label());
            let f =
                found.add(Severity::Warning, m.id, line, "look for watchers that are behind, large ranges");
            let watchers = case.fresh(m).and_then(|x| Some((x.watchers?, x.slow_watchers?)));
            f.evidence.extend(watchers.map(|(all, slow)| format!("{all} watchers, {slow} of them behind")));
            f.evidence.push("warning above 1 GiB and three times the file".into());
        }
    }
}
