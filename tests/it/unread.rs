//! Operations of which nobody hears: what they say goes to a full disk, to nobody, or to somebody who has stopped reading.

use std::io::Read;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Child;
use tokio::time::timeout;

use crate::support::cluster::TestCluster;
use crate::support::job::{Gone, Job, Unread};
use crate::support::operate::fill;
use crate::support::process::send;
use crate::support::{PATIENCE, wait_for_async};

/// Nobody reads what it says, and the disk that it is written to is full: it does what it was told all the same, and says by
/// its exit code that it has.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_ends_no_operation_half_way() {
    let cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    for format in ["table", "json", "jsonl"] {
        for gone in [Gone::FullDisk, Gone::Closed] {
            let (code, journal) = job.unheard(&["defrag", "--yes", "-o", format], gone).await;
            assert_eq!((code, journal), (0, "\"done\"".to_owned()), "{format}, {gone:?}");
        }
    }
    let (code, _) = job.unheard(&["snapshot", "save"], Gone::FullDisk).await;
    assert_eq!(code, 0);
}

/// Its exit code, when it ends.
async fn end(child: &mut Child) -> Option<i32> {
    let ended = timeout(PATIENCE, child.wait()).await;
    ended.unwrap_or_else(|_| panic!("it does not end")).unwrap().code()
}

/// `| less`: the operation goes on, and what was said can be read afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_later_reads_everything() {
    let cluster = TestCluster::of("3.7").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    let Unread { mut child, mut reader, filled } = job.unread(&["defrag", "--yes", "-o", "jsonl"]);
    wait_for_async("the end of it", || (job.ended() == 1).then_some(())).await;
    assert!(child.try_wait().unwrap().is_none(), "what it said is not read yet");
    let said = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        reader.read_to_end(&mut said).unwrap();
        String::from_utf8(said.split_off(filled)).unwrap()
    });
    let said = timeout(PATIENCE, said).await.unwrap().unwrap();
    assert_eq!(end(&mut child).await, Some(0), "{said}");
    // Both streams are one pipe here: documents, and lines for people.
    let events: Vec<Value> = said.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let named = |name: &str| events.iter().filter(|e| e["event"] == name).count();
    assert_eq!((named("planned"), named("step_begins"), named("ended")), (1, 3, 1), "{said}");
    assert_eq!(events.last().unwrap()["result"], "done", "{said}");
}

/// Whoever does not read keeps it neither from its limit nor from a signal.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_up_neither_a_limit_nor_a_signal() {
    let cluster = TestCluster::of("3.6").await;
    fill(&cluster, 4, 12, 100);
    let job = Job::on(cluster.endpoints_text());
    let began = Instant::now();
    let Unread { mut child, reader, .. } =
        job.unread(&["defrag", "--yes", "--timeout", "20s", "-o", "jsonl"]);
    assert_eq!(end(&mut child).await, Some(0), "what was done is done");
    assert!(began.elapsed() >= Duration::from_secs(20), "it did not wait for a reader");
    drop(reader);
    for format in ["table", "json", "jsonl"] {
        // In the middle of it.
        let Unread { mut child, reader, .. } = job.unread(&["defrag", "--yes", "--wait", "1h", "-o", format]);
        let waits = || job.journal().last().filter(|e| e["event"] == "step_ended").map(drop);
        wait_for_async("the first member's end", waits).await;
        send(child.id().unwrap().cast_signed(), Signal::TERM);
        assert_eq!(end(&mut child).await, Some(143), "{format}");
        assert!(job.last_end().contains("cancelled"), "{format}: {}", job.last_end());
        drop(reader);
        // At its end.
        let before = job.ended();
        let Unread { mut child, reader, .. } = job.unread(&["defrag", "--yes", "-o", format]);
        wait_for_async("the end of it", || (job.ended() > before).then_some(())).await;
        assert!(child.try_wait().unwrap().is_none(), "{format}: nobody has read it");
        send(child.id().unwrap().cast_signed(), Signal::TERM);
        assert_eq!(end(&mut child).await, Some(0), "{format}");
        drop(reader);
    }
}
