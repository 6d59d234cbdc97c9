//! What is concluded from figures, and what is not.

use std::sync::Arc;

use super::*;
use crate::model::MemberView;
use crate::testing::{healthy, noon};

const MIB: u64 = 1 << 20;

fn at(second: u64) -> Timestamp {
    noon().checked_add(Duration::from_secs(second)).unwrap()
}

/// Seconds, MiB of the file, KiB in use.
fn seen(figures: &[(u64, u64, u64)]) -> Vec<PageEvent> {
    let sample = |(second, size, in_use): &(u64, u64, u64)| Sample {
        at: at(*second),
        db_size: Some(Bytes(size * MIB)),
        in_use: Some(Bytes(in_use << 10)),
        latency: None,
        raft_index: None,
        applied: None,
        lag: None,
        revision: None,
    };
    events(&figures.iter().map(sample).collect())
}

fn words(figures: &[(u64, u64, u64)]) -> Vec<String> {
    seen(figures).iter().map(PageEvent::words).collect()
}

#[test]
fn puts_a_compaction_and_a_rewrite_are_told_apart() {
    let story = [
        (0, 40, 20_480),
        (60, 40, 30_720),
        (120, 60, 51_200),
        // It stands at its highest for a while: the compaction did not take that long.
        (180, 60, 51_200),
        (183, 60, 20_480),
        (200, 60, 20_480),
        (202, 20, 20_480),
        (260, 20, 20_480),
    ];
    assert_eq!(
        words(&story),
        [
            "in use +30 MiB, file +20 MiB in 2 min: puts",
            "in use -30 MiB in 3 s: pages freed",
            "file -40 MiB in 2 s: rewritten"
        ]
    );
    assert_eq!(
        words(&[(0, 40, 20_480), (60, 40, 30_720)]),
        ["in use +10 MiB in 1 min: puts take free pages"]
    );
}

#[test]
fn pages_that_come_and_go_with_every_commit_say_nothing() {
    let jitter: Vec<_> = (0..300).map(|s| (s, 40, 20_480 + (s % 7) * 16)).collect();
    assert_eq!(words(&jitter), [""; 0]);
    // Nor do they hide what does: slow growth under the same noise is one move.
    let growth: Vec<_> = (0..300).map(|s| (s, 40, 20_480 + (s % 7) * 16 + s * 10)).collect();
    assert_eq!(seen(&growth).len(), 1, "{:?}", words(&growth));
}

#[test]
fn an_idle_file_tells_the_same_forever() {
    let mut story = vec![(0, 40, 30_720), (3, 40, 20_480)];
    let first = seen(&story);
    story.extend((4..600).map(|s| (s, 40, 20_480)));
    assert_eq!(seen(&story), first, "nothing is repainted");
    assert_eq!(first.len(), 1);
}

#[test]
fn what_is_not_known_or_absurd_is_no_event() {
    assert_eq!(events(&VecDeque::new()), []);
    let absurd = [(0, 40, u64::MAX >> 10), (1, 40, 40_960), (2, 40, u64::MAX >> 10)];
    assert_eq!(words(&absurd), [""; 0], "more in use than the file has");
}

/// Views of one member, a second each, with its counters.
fn fed(story: &[(u64, u64, u64, u64, u64)]) -> (History, MemberId) {
    let mut history = History::default();
    let mut id = None;
    for (second, size, in_use, compactions, defragmentations) in story {
        let mut view = healthy(1);
        view.at = at(*second);
        let m: &mut MemberView = &mut view.members[0];
        (m.status_at, m.metrics_at, id) = (Some(view.at), Some(view.at), m.id);
        let status = m.status.as_mut().unwrap();
        (status.db_size, status.db_size_in_use) = (Some(Bytes(size * MIB)), Some(Bytes(in_use * MIB)));
        let mut metrics = m.metrics.as_deref().cloned().unwrap_or_default();
        metrics.compactions = Some(*compactions);
        metrics.defragmentations = Some(*defragmentations);
        m.metrics = Some(Arc::new(metrics));
        history.push(&view);
    }
    (history, id.unwrap())
}

#[test]
fn counters_say_whose_work_it_was() {
    let mut story: Vec<_> = (0..60).map(|s| (s, 60, 50, 4, 2)).collect();
    story.extend((60..80).map(|s| (s, 60, 20, 5, 2)));
    story.extend((80..100).map(|s| (s, 20, 20, 5, 3)));
    let (history, id) = fed(&story);
    let words: Vec<_> = of_member(&history, id).iter().map(PageEvent::words).collect();
    assert_eq!(words, ["in use -30 MiB in 1 s: compacted, pages free", "file -40 MiB in 1 s: defragmented"]);
    // The same without a defragmentation: the file of another took its place.
    let mut story: Vec<_> = (0..60).map(|s| (s, 60, 50, 4, 2)).collect();
    story.extend((60..80).map(|s| (s, 20, 20, 4, 2)));
    let (history, id) = fed(&story);
    let words: Vec<_> = of_member(&history, id).iter().map(PageEvent::words).collect();
    assert_eq!(words, ["file -40 MiB in 1 s: rewritten"]);
}
