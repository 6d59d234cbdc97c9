//! What time takes on screen: the view of latencies, the strip on the overview, and what explains both.

use std::time::Duration;

use super::{press, state, text};
use crate::app::{Msg, State, update};
use crate::model::metrics::{Calls, Histogram, Method};
use crate::testing::{healthy, noon};

fn took(ms: u64, count: u64) -> Histogram {
    let bounds =
        [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, f64::INFINITY];
    #[allow(clippy::cast_precision_loss)]
    let seconds = ms as f64 / 1e3;
    let buckets = bounds.map(|le| (le, if seconds <= le { count } else { 0 })).to_vec();
    Histogram { buckets, sum: 0.0 }
}

/// Ten minutes of three members; the disk of the second is slow from the sixth minute on, and the way from it to the third.
fn slow_disk() -> State {
    let mut s = state(&[]);
    let mut fsyncs = [0_u64; 2];
    for i in 0..120_u64 {
        let mut view = healthy(3);
        view.at = noon().checked_add(Duration::from_secs(i * 5)).unwrap();
        let ids: Vec<_> = view.members.iter().filter_map(|m| m.id).collect();
        let slow = i >= 72;
        fsyncs[usize::from(slow)] += 100;
        for (n, m) in view.members.iter_mut().enumerate() {
            (m.status_at, m.metrics_at) = (Some(view.at), Some(view.at));
            let ailing = n == 1;
            let mut fsync = took(2, fsyncs[0]);
            fsync.add(&took(if ailing { 700 } else { 3 }, fsyncs[1]));
            let metrics = m.metrics_mut();
            metrics.wal_fsync = Some(fsync);
            metrics.backend_commit = Some(took(if ailing { 30 } else { 6 }, i * 40));
            metrics.peer_rtt = ids
                .iter()
                .enumerate()
                .filter(|(peer, _)| *peer != n)
                .map(|(peer, id)| (*id, took(if ailing && peer == 2 { 200 } else { 1 }, i / 6)))
                .collect();
            if ailing {
                let handling = Some(took(720, i * 9));
                metrics.methods = vec![(
                    Method("KV/Put".into()),
                    Calls { handled: i * 9, failed: 0, handling, stream: false },
                )];
            }
        }
        update(&mut s, Msg::View(std::sync::Arc::new(view)));
    }
    s
}

#[test]
fn latencies_over_time() {
    let mut s = slow_disk();
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let overview = text(&mut s, width, height);
        insta::assert_snapshot!(format!("overview_slow_disk_{width}x{height}"), overview);
        press(&mut s, "8");
        insta::assert_snapshot!(format!("latency_{width}x{height}"), text(&mut s, width, height));
        press(&mut s, "e");
        insta::assert_snapshot!(format!("latency_explain_{width}x{height}"), text(&mut s, width, height));
        press(&mut s, "esc 1");
    }
}

#[test]
fn a_slow_disk_is_named_with_its_figures_and_the_way_out() {
    let s = slow_disk();
    let worst = &s.findings[0];
    assert_eq!(worst.key.rule, "fsync_slow", "{:#?}", s.findings);
    let names: Vec<_> = s.findings.iter().map(|f| f.key.rule).collect();
    for rule in ["requests_slow", "rtt_slow", "commit_slow"] {
        assert!(names.contains(&rule), "{names:?}");
    }
    let fsync = s.findings.iter().find(|f| f.key.rule == "fsync_slow").unwrap();
    assert!(fsync.line.starts_with("m2: fsync of its log takes 1.0 s"), "{fsync:?}");
}

#[test]
fn a_plan_is_explained_step_by_step_and_comes_back() {
    let mut s = slow_disk();
    press(&mut s, "D tab space e");
    let explained = text(&mut s, 120, 40);
    assert!(explained.contains("step: defragment") && explained.contains("step: move leader"), "{explained}");
    assert!(!explained.contains("step: snapshot"), "{explained}");
    press(&mut s, "esc");
    assert!(text(&mut s, 120, 40).contains("[ Run it ]"));
    press(&mut s, "esc");
    assert!(s.overlay.is_none());
}

#[test]
fn each_step_of_a_plan_can_be_explained() {
    use crate::model::glossary::{GLOSSARY, Topic};
    let steps: Vec<_> = GLOSSARY.iter().filter(|e| e.topics.contains(&Topic::Step)).map(|e| e.term).collect();
    let source = include_str!("../overlays/explain.rs");
    for (at, _) in source.match_indices("\"step: ") {
        let term = source[at + 1..].split('"').next().unwrap();
        assert!(steps.contains(&term), "{term} is not in the glossary");
    }
    assert_eq!(source.matches("\"step: ").count(), steps.len());
}
