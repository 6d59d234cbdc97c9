//! Recordings without names: what is not in them any more, and what still is.

use std::sync::Arc;

use jiff::Timestamp;

use super::tape::UNENDED;
use super::tests::{open, read};
use super::writer::Encoder;
use super::{Entry, Hidden, Meta};
use crate::model::hashes::{Comparison, HashAnswer};
use crate::model::{MemberId, Revision};
use crate::ops::journal::{Figures, StepEnd};
use crate::ops::past::{History, Past, PastStep};
use crate::ops::plan::{Action, Step, Verify};
use crate::ops::standing::{Operation, Standing};
use crate::ops::{OpEvent, Request};
use crate::snapshot::Status;
use crate::testing::{noon, story};

#[test]
fn an_anonymised_recording_names_nobody_and_is_whole() {
    let mut told = story();
    if let Entry::Meta(meta) = &mut told[0].1 {
        **meta = Meta {
            notices: vec!["/root/secret is readable".into()],
            snapshots: "/srv/prod-eu1".into(),
            ..(**meta).clone()
        };
    }
    // A member with the name of a word of ours, and a stranger in a text.
    let mut view = crate::testing::healthy(3);
    view.members[0].name = "ok".into();
    view.members[1].detail =
        Some("dial 10.9.8.7:2379 from e0844a71dbfcd781: /etc/kubernetes/pki/etcd/ca.crt".into());
    told.insert(5, (view.at, Entry::View(Arc::new(view))));
    let names = vec![("prod-eu1".to_owned(), "cluster-name".to_owned())];
    let mut hidden = Hidden::for_recording(names);
    hidden.learn(&crate::testing::healthy(3));
    let bytes = Encoder::new(Some(hidden)).file(&told).unwrap();
    let tape = open(bytes).unwrap();
    let back = read(&tape);
    assert_eq!(back.len(), told.len());
    assert!(tape.meta().anonymised);
    let text: String = back.iter().map(|(_, e)| e.to_json().unwrap().1.to_string() + "\n").collect();
    for name in [
        "10.0.0.",
        "8e9e05c5",
        "cdf81819",
        "prod-eu1",
        "\"m1\"",
        "\"m2\"",
        "/var/lib",
        "10.9.8.7",
        "e0844a71",
        "kubernetes/pki",
        "secret",
        "m1 ",
        " m2",
    ] {
        if let Some(at) = text.find(name) {
            panic!("{name}: ...{}...", &text[at.saturating_sub(120)..(at + 60).min(text.len())]);
        }
    }
    // What is left is the same story.
    let states = |entries: &[(Timestamp, Entry)]| -> Vec<_> {
        let views =
            entries.iter().filter_map(|(_, e)| if let Entry::View(v) = e { Some(v.clone()) } else { None });
        views
            .map(|v| v.members.iter().map(|m| (m.state, m.role, m.latency, m.lag)).collect::<Vec<_>>())
            .collect()
    };
    assert_eq!(states(&told), states(&back));
    let last = back
        .iter()
        .rev()
        .find_map(|(_, e)| if let Entry::View(v) = e { Some(v.clone()) } else { None })
        .unwrap();
    assert_eq!(last.leader, last.members[2].id, "ids go on naming the same member");
}

fn proof(key: &str) -> Step {
    Step {
        action: Action::ProveWrite { key: key.into() },
        title: "prove that writes go through".into(),
        estimate: None,
        before: None,
        after: None,
        as_leader: false,
        etcdctl: format!("etcdctl put {key} etcdtop && etcdctl del {key}"),
    }
}

/// An operation that proves a write with a key.
fn proves(key: &str) -> Operation {
    let begun = story().into_iter().find_map(|(_, e)| if let Entry::Started(o) = e { Some(o) } else { None });
    let mut operation = *begun.unwrap();
    operation.plan.request = Request::Snapshot {
        member: None,
        folder: "/srv/acme".into(),
        name: Some("acme-weekly.db".into()),
        verify: Verify::Full,
    };
    operation.plan.steps = vec![proof(key)];
    operation.steps = vec![(proof(key), Standing::Ahead)];
    operation
}

/// What names somebody with its keys, and snapshots with their checksums.
fn telling() -> Vec<(Timestamp, Entry)> {
    let sum = "123456789012".repeat(6)[..64].to_owned();
    let note = format!("281 MiB in /srv/acme/x.db, revision 7, SHA-256 {}, verified full", &sum[..12]);
    let mut listing = crate::testing::listing();
    for saved in &mut listing.saved {
        saved.stamp = (64_769, 9_437_211, 1_795_280_718_717_123_456);
    }
    let side = listing.saved[0].side.as_mut().unwrap();
    side.sha256.clone_from(&sum);
    side.file_sha256 = Some("abcdefabcdef".repeat(6)[..64].to_owned());
    side.status = Some(Status {
        hash: 4_022_250_974,
        revision: Revision(7),
        total_key: 3,
        total_entries: 3,
        total_size: side.size,
        version: String::new(),
    });
    let past = Past {
        steps: vec![PastStep {
            title: "etcdctl put globex/proof".into(),
            action: Some(proof("globex/proof").action),
            ..PastStep::default()
        }],
        ..Past::default()
    };
    let failed = StepEnd::Failed("no permission below acme-payments/ for key acme-payments/proof".into());
    let hashes = |hash: u32| HashAnswer {
        member: MemberId(7),
        name: "m1".into(),
        hash: Some(hash),
        compact_revision: None,
        problem: None,
    };
    let compared = |figures: [u32; 3]| Comparison {
        revision: Revision(7),
        at: noon(),
        answers: figures.map(hashes).to_vec(),
    };
    [
        Entry::Meta(Box::new(Meta { proof_key: "acme-payments/proof".into(), ..Meta::default() })),
        Entry::Started(Box::new(proves("acme-payments/proof"))),
        Entry::Operation(OpEvent::StepEnded { step: 0, end: failed, figures: Figures::default() }),
        Entry::Operation(OpEvent::StepEnded {
            step: 0,
            end: StepEnd::Done,
            figures: Figures { note: Some(note), ..Figures::default() },
        }),
        Entry::Listed(Ok(listing), Err("?".into())),
        Entry::Journal(Box::new(History { operations: vec![past], ..History::default() })),
        Entry::Compared(Ok(compared([3_405_691_582, 3_405_691_582, 3_735_928_559]))),
        Entry::View(Arc::new(crate::testing::healthy(3))),
    ]
    .map(|entry| (noon(), entry))
    .to_vec()
}

/// Whatever of a plan, a journal or a snapshot finds somebody again.
#[test]
fn an_anonymised_recording_tells_no_key_and_no_checksum() {
    let told = telling();
    let mut hidden = Hidden::for_recording(Vec::new());
    hidden.lost(vec!["3 bytes are damaged".into()]);
    let tape = open(Encoder::new(Some(hidden)).file(&told).unwrap()).unwrap();
    assert_eq!(tape.notices(), ["3 bytes are damaged", UNENDED]);
    let back: Vec<_> = read(&tape).into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(back.len(), told.len());
    let text: String = back.iter().map(|e| e.to_json().unwrap().1.to_string() + "\n").collect();
    for named in [
        "acme",
        "globex",
        "1234567890",
        "abcdefabcdef",
        "5f2b8c0e",
        "4022250974",
        "9437211",
        "1795280718",
        "3405691582",
        "3735928559",
    ] {
        assert!(!text.contains(named), "{named}: {text}");
    }
    // The same is the same still: a note and the side file, members that agree and one that does not.
    let Some(Entry::Listed(Ok(listing), _)) = back.iter().find(|e| matches!(e, Entry::Listed(..))) else {
        panic!()
    };
    let shown = &listing.saved[0].side.as_ref().unwrap().sha256;
    assert!(shown.len() == 64 && text.contains(&format!("SHA-256 {}, verified", &shown[..12])), "{text}");
    let Some(Entry::Compared(Ok(compared))) = back.iter().find(|e| matches!(e, Entry::Compared(_))) else {
        panic!()
    };
    let hashes: Vec<_> = compared.answers.iter().map(|a| a.hash).collect();
    assert!(hashes[0] == hashes[1] && hashes[0] != hashes[2], "{hashes:?}");
    assert!(text.contains("etcdctl put key-1 etcdtop && etcdctl del key-1"), "{text}");
}

#[test]
fn a_prefix_that_nobody_chose_names_nobody() {
    let mut hidden = Hidden::for_recording(Vec::new());
    let usual = Entry::Started(Box::new(proves("etcdtop/proof")));
    let (_, value) = hidden.entry(&usual).unwrap().unwrap();
    assert!(value.to_string().contains("etcdctl put etcdtop/proof etcdtop"), "{value}");
}
