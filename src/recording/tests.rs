//! Recordings that are whole, cut, damaged, and of other versions.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::frame::{self, FIRST_LINE, kind};
use super::tape::UNENDED;
use super::writer::Encoder;
use super::{Cursor, Entry, Tape, TapeError};
use crate::model::text::is_dangerous;
use crate::ops::OpEvent;
use crate::ops::journal::End;
use crate::testing::{noon, story};

pub(super) fn read(tape: &Tape) -> Vec<(Timestamp, Entry)> {
    let mut cursor = Cursor::default();
    std::iter::from_fn(|| cursor.next(tape)).map(|(record, entry)| (record.at, entry)).collect()
}

fn file(entries: &[(Timestamp, Entry)]) -> Arc<[u8]> {
    Encoder::new(None).file(entries).unwrap()
}

pub(super) fn open(bytes: impl Into<Arc<[u8]>>) -> Result<Tape, TapeError> {
    Tape::of_bytes("test", bytes.into())
}

#[test]
fn what_was_written_is_read_to_the_last_bit() {
    let told = story();
    let tape = open(file(&told)).unwrap();
    let back = read(&tape);
    assert_eq!(back.len(), told.len());
    for (wrote, read) in told.iter().zip(&back) {
        assert_eq!(wrote, read);
    }
    assert!(tape.ended() && tape.notices().is_empty(), "{:?}", tape.notices());
    assert_eq!(tape.records().iter().filter(|r| r.kind == kind::KEY).count(), 3, "a whole view a minute");
    assert_eq!(tape.meta().name, "prod-eu1");
}

#[test]
fn reading_from_any_record_on_is_the_same() {
    let told = story();
    let tape = open(file(&told)).unwrap();
    let mut cursor = Cursor::default();
    // Back and forth, across whole views and not.
    for start in [150, 3, 0, 75, 76, 74, 10, 182, 1, 120] {
        cursor.seek(&tape, start);
        assert_eq!(cursor.at(), start);
        let (record, entry) = cursor.next(&tape).unwrap();
        assert_eq!((record.at, entry), told[start], "{start}");
    }
    assert!(cursor.next_before(&tape, 121).is_none());
    cursor.seek(&tape, tape.records().len());
    assert!(cursor.next(&tape).is_none());
}

#[test]
fn a_file_that_was_cut_anywhere_is_opened_up_to_there() {
    let told: Vec<_> = story().into_iter().take(12).collect();
    let bytes = file(&told);
    let mut longest = 0;
    for cut in 0..bytes.len() {
        match open(&bytes[..cut]) {
            Ok(tape) => {
                let back = read(&tape);
                assert_eq!(back, told[..back.len()], "cut at {cut}");
                assert!(back.len() >= longest, "cut at {cut}");
                longest = back.len();
                assert!(!tape.ended() && tape.notices().len() == 1, "cut at {cut}: {:?}", tape.notices());
            }
            Err(e) => {
                assert!(longest == 0 && matches!(e, TapeError::Foreign(_) | TapeError::Empty(_)), "{e}");
            }
        }
    }
    assert_eq!(longest, told.len() - 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever bits are turned: nothing panics, and what is read is what was written, as far as it is there.
    #[test]
    fn damage_never_makes_something_up(at in any::<prop::sample::Index>(), bit in 0..8_u8, more in prop::option::of(any::<prop::sample::Index>())) {
        let told: Vec<_> = story().into_iter().skip(60).step_by(7).collect();
        let mut bytes = file(&told).to_vec();
        for at in [Some(at), more].into_iter().flatten() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(tape) = open(bytes.clone()) {
            let back = read(&tape);
            let mut rest = told.iter();
            for entry in &back {
                prop_assert!(rest.any(|t| t == entry), "made up: {entry:?}");
            }
            prop_assert!(back.len() == told.len() || !tape.notices().is_empty());
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), head: bool) {
        if head {
            bytes.splice(0..0, frame::first_line());
        }
        prop_assert!(open(bytes).is_err());
    }
}

#[test]
fn behind_damage_it_goes_on_with_the_next_whole_view() {
    let told = story();
    let mut bytes = file(&told).to_vec();
    let tape = open(bytes.clone()).unwrap();
    let keys: Vec<_> = (0..tape.records().len()).filter(|i| tape.records()[*i].kind == kind::KEY).collect();
    // In the first minute.
    let at = bytes.len() / 6;
    bytes[at] ^= 0x10;
    let damaged = open(bytes).unwrap();
    let back = read(&damaged);
    let rest = &told[keys[1]..];
    assert_eq!(&back[back.len() - rest.len()..], rest);
    assert!(damaged.notices()[0].contains("are damaged"), "{:?}", damaged.notices());
}

#[test]
fn versions() {
    let bytes = file(&story()).to_vec();
    let as_version = |text: &str| {
        let end = bytes.iter().position(|b| *b == b'\n').unwrap();
        [format!("etcdtop-recording {text}").as_bytes(), &bytes[end..]].concat()
    };
    let newer = open(as_version("1.7")).unwrap();
    assert_eq!(read(&newer).len(), story().len());
    assert!(newer.notices()[0].contains("1.7"), "{:?}", newer.notices());
    let error = open(as_version("2.0")).unwrap_err().to_string();
    assert!(error.contains("test has version 2.0") && error.contains("newer etcdtop"), "{error}");
    for foreign in ["x", "", "1", "a.b", &"1".repeat(FIRST_LINE)] {
        assert!(matches!(open(as_version(foreign)), Err(TapeError::Foreign(_))), "{foreign}");
    }
    assert!(matches!(open(frame::first_line()), Err(TapeError::Empty(_))));
    let error = open(&b"\x7fELF"[..]).unwrap_err().to_string();
    assert!(error.contains("etcdtop record FILE"), "{error}");
}

/// What a later minor version adds is skipped: kinds of records, fields, and both within the stream that goes on behind them.
#[test]
fn what_is_not_known_is_skipped() {
    let told = story();
    let mut encoder = Encoder::new(None);
    let mut bytes = frame::first_line();
    for (i, (at, entry)) in told.iter().enumerate() {
        if i % 20 == 10 {
            let payload = encoder.deflated(br#"{"what":"nobody knows yet"}"#).unwrap();
            bytes.extend(frame::record(200, *at, &payload).unwrap());
        }
        if i == 41 {
            let payload = encoder.deflated(br#"{"verifies_deeply":{"page":7}}"#).unwrap();
            bytes.extend(frame::record(kind::PROGRESS, *at, &payload).unwrap());
        }
        bytes.extend(encoder.encode(*at, entry).unwrap().unwrap());
    }
    assert_eq!(read(&open(bytes).unwrap()), told);
    let (_, mut view) = told[3].1.to_json().unwrap();
    assert!(view["members"].is_array(), "{view}");
    view["members"][0]["mood"] = "good".into();
    view["weather"] = serde_json::json!([1, null, {"a": 2}]);
    assert_eq!(Entry::from_json(kind::KEY, view).unwrap().unwrap(), told[3].1);
}

/// What the first version wrote is read by every later one: do not make this file anew.
#[test]
fn the_first_version_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/v1.0.etcdtop");
    let tape = Tape::open(path.as_ref()).unwrap();
    let back = read(&tape);
    let views: Vec<_> =
        back.iter().filter_map(|(_, e)| if let Entry::View(v) = e { Some(v) } else { None }).collect();
    let kinds: std::collections::BTreeSet<_> = tape.records().iter().map(|r| r.kind).collect();
    assert_eq!(back.len(), tape.records().len(), "an entry of it is not understood any more");
    assert!(tape.meta().lab && kinds.len() >= 9, "{kinds:?}");
    let last = views.last().unwrap();
    assert_eq!((last.listed(), last.serving()), (3, 3));
    assert!(last.members.iter().all(|m| m.metrics.as_ref().unwrap().wal_fsync.as_ref().unwrap().is_whole()));
}

#[test]
fn a_recording_that_grows_is_read_on() {
    let told = story();
    let whole = file(&told);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grows");
    let mut written = whole.len() / 2;
    std::fs::write(&path, &whole[..written]).unwrap();
    let mut tape = Tape::open(&path).unwrap();
    assert!(!tape.ended());
    let mut cursor = Cursor::default();
    let mut back = Vec::new();
    while !tape.ended() {
        back.extend(std::iter::from_fn(|| cursor.next(&tape)).map(|(r, e)| (r.at, e)));
        written = (written + 97).min(whole.len());
        std::fs::write(&path, &whole[..written]).unwrap();
        tape.grow().unwrap();
    }
    back.extend(std::iter::from_fn(|| cursor.next(&tape)).map(|(r, e)| (r.at, e)));
    assert_eq!(back, told);
    assert!(!tape.notices().contains(&UNENDED.to_owned()));
}

/// A clock that is set back makes no recording go back.
#[test]
fn a_clock_that_jumps_back_goes_on_from_where_it_was() {
    let at = |s: i64| noon().checked_add(jiff::SignedDuration::from_secs(s)).unwrap();
    let view = |s: i64| {
        let mut view = crate::testing::healthy(1);
        view.at = at(s);
        (at(s), Entry::View(Arc::new(view)))
    };
    let told = [view(100), view(101), view(-3_600), view(-3_599)];
    let tape = open(file(&told)).unwrap();
    assert_eq!(read(&tape), told);
    let far: Vec<_> = tape.records().iter().map(|r| r.from_start.as_secs()).collect();
    assert_eq!(far, [0, 1, 1, 2]);
    assert_eq!(tape.clock(tape.length()), at(-3_599));
}

#[test]
fn gaps_are_known() {
    let told: Vec<_> = story()
        .into_iter()
        .filter(|(at, _)| {
            let s = at.duration_since(noon()).as_secs();
            !(50..110).contains(&s)
        })
        .collect();
    let tape = open(file(&told)).unwrap();
    let gaps: Vec<_> = tape.gaps().map(|(from, long)| (from.as_secs(), long.as_secs())).collect();
    assert_eq!(gaps, [(49, 60)]);
    assert_eq!(open(file(&story())).unwrap().gaps().count(), 0);
}

/// By hand one can write what no recorder writes: deltas with nothing before them, as many as one likes.
#[test]
fn records_that_rest_on_nothing_are_passed_over() {
    let told = story();
    let mut bytes = frame::first_line();
    let mut encoder = Encoder::new(None);
    for (at, entry) in &told[..1] {
        bytes.extend(encoder.encode(*at, entry).unwrap().unwrap());
    }
    let empty = frame::record(kind::DELTA, noon(), b"").unwrap();
    let many = 200_000;
    bytes.extend(empty.repeat(many));
    for (at, entry) in &told[2..4] {
        bytes.extend(Encoder::new(None).encode(*at, entry).unwrap().unwrap());
    }
    let tape = open(bytes).unwrap();
    let back = read(&tape);
    assert_eq!(back, [&told[..1], &told[2..4]].concat());
    // Who wants those before some number gets none of those behind it.
    let mut cursor = Cursor::default();
    assert!(matches!(cursor.next_before(&tape, 1_000), Some((_, Entry::Meta(_)))));
    assert!(cursor.next_before(&tape, 1_000).is_none());
    assert_eq!(cursor.at(), 1_000);
    cursor.seek(&tape, 5_000);
    assert_eq!(cursor.at(), 5_000);
}

/// What a recording says was written by whoever hands it out.
#[test]
fn no_text_of_a_recording_can_do_anything_to_a_terminal() {
    const EVIL: &str = "\x1b]52;c;ZXZpbA==\x07\u{9b}2J\u{202e}";
    fn spoil(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => text.push_str(EVIL),
            serde_json::Value::Array(list) => list.iter_mut().for_each(spoil),
            serde_json::Value::Object(map) => map.values_mut().for_each(spoil),
            _ => {}
        }
    }
    fn is_safe(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => !text.contains(is_dangerous),
            serde_json::Value::Array(list) => list.iter().all(is_safe),
            serde_json::Value::Object(map) => {
                map.iter().all(|(name, v)| !name.contains(is_dangerous) && is_safe(v))
            }
            _ => true,
        }
    }
    let mut told = story();
    // Every text of the recording that can hold any, and the names of fields that somebody else may choose.
    for (_, entry) in &mut told {
        let (kind, mut value) = entry.to_json().unwrap();
        spoil(&mut value);
        match Entry::from_json(kind, value) {
            Ok(Some(spoilt)) => *entry = spoilt,
            // Ids, times and words that are not free.
            _ => match entry {
                Entry::Started(operation) => {
                    for text in [&mut operation.plan.title, &mut operation.plan.cluster_name] {
                        text.push_str(EVIL);
                    }
                    operation.steps[0].0.title.push_str(EVIL);
                }
                Entry::Coach(view) => {
                    for text in [&mut view.title, &mut view.task, &mut view.choices[0].command] {
                        text.push_str(EVIL);
                    }
                }
                Entry::Operation(OpEvent::Ended(end)) => *end = End::Failed(EVIL.into()),
                Entry::View(view) => {
                    let view = Arc::make_mut(view);
                    view.members[0].name = EVIL.into();
                    view.members[1].detail = Some(EVIL.into());
                }
                _ => {}
            },
        }
    }
    let tape = open(file(&told)).unwrap();
    assert!(
        tape.meta().name.contains("x1b]52") && !tape.meta().name.contains('\x1b'),
        "{}",
        tape.meta().name
    );
    let mut seen = 0;
    for (_, entry) in read(&tape) {
        let value = entry.to_json().unwrap().1;
        seen += value.to_string().matches("x1b]52").count();
        assert!(is_safe(&value), "{value}");
    }
    assert!(seen > 300, "{seen}");
}
