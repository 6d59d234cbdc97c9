//! The functions that run every second: reading a scrape, merging, drawing a frame, encoding it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use etcdtop::app::reel::Reel;
use etcdtop::app::state::{Access, Look};
use etcdtop::app::{Keymap, State};
use etcdtop::config::ThemeName;
use etcdtop::etcd::metrics;
use etcdtop::model::{ClusterView, Endpoint};
use etcdtop::poll::merge::Merger;
use etcdtop::recording::writer::Encoder;
use etcdtop::recording::{Cursor, Entry, Tape};
use etcdtop::term::{Depth, Painter};
use etcdtop::ui;
use jiff::Timestamp;

/// About as large as a real scrape: 170 KiB, of which little is of interest.
fn scrape() -> Vec<u8> {
    let mut text =
        String::from("etcd_server_quota_backend_bytes 2.147483648e+09\netcd_debugging_mvcc_keys_total 350\n");
    for i in 0..1_700 {
        text.push_str(&format!("grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"M{i}\",grpc_service=\"etcdserverpb.KV\"}} {i}\n"));
    }
    text.into_bytes()
}

fn hot(c: &mut Criterion) {
    let body = scrape();
    c.bench_function("parse a scrape of 170 KiB", |b| b.iter(|| metrics::parse(black_box(&body))));

    let endpoints: Vec<_> =
        (0..9).filter_map(|i| Endpoint::parse(&format!("https://10.0.0.{i}:2379")).ok()).collect();
    let merger = Merger::new(&endpoints);
    let now = Timestamp::now();
    c.bench_function("merge a view of 9 endpoints", |b| b.iter(|| merger.view(black_box(now))));

    let look = Look { theme: ThemeName::Dark, ascii: false };
    let mut state = State::new(
        Arc::new(merger.view(now)),
        Access::default(),
        look,
        Keymap::default(),
        Duration::from_secs(1),
    );
    state.size = (120, 40);
    let frame = |state: &State| {
        let mut frame = Painter::blank(120, 40);
        ui::draw(state, frame.area, &mut frame);
        frame
    };
    c.bench_function("draw 120x40", |b| b.iter(|| frame(black_box(&state))));
    let drawn = frame(&state);
    let mut painter = Painter::new(Depth::Ansi256);
    c.bench_function("encode an unchanged frame", |b| {
        b.iter(|| painter.encode(black_box(drawn.clone())).len());
    });
}

/// An hour of three members, one poll a second: a stored recording of a real cluster, again and again, later each time.
fn hour() -> Vec<(Timestamp, Entry)> {
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/v1.0.etcdtop");
    let Ok(tape) = Tape::open(stored.as_ref()) else { return Vec::new() };
    let mut cursor = Cursor::default();
    let entries: Vec<_> = std::iter::from_fn(|| cursor.next(&tape)).collect();
    let mut hour = Vec::new();
    let mut later = Duration::ZERO;
    while later < Duration::from_secs(3_600) {
        for (record, entry) in &entries {
            let shift = |at: &mut Timestamp| *at = at.checked_add(later).unwrap_or(*at);
            let mut entry = entry.clone();
            let mut at = record.at;
            shift(&mut at);
            match &mut entry {
                Entry::Meta(_) if !hour.is_empty() => continue,
                Entry::End => continue,
                Entry::View(view) => {
                    let view = Arc::make_mut(view);
                    shift(&mut view.at);
                    for m in &mut view.members {
                        let times = [
                            &mut m.status_at,
                            &mut m.status_asked,
                            &mut m.metrics_at,
                            &mut m.metrics_asked,
                            &mut m.scrape_asked,
                        ];
                        times.into_iter().flatten().for_each(shift);
                    }
                }
                _ => {}
            }
            hour.push((at, entry));
        }
        later += tape.length() + Duration::from_secs(1);
    }
    hour
}

fn recordings(c: &mut Criterion) {
    let hour = hour();
    let Ok(bytes) = Encoder::new(None).file(&hour) else { return };
    println!("an hour of {} entries: {} bytes", hour.len(), bytes.len());
    let mut encoder = Encoder::new(None);
    let mut turn = hour.iter().cycle();
    c.bench_function("record an entry", |b| {
        b.iter(|| turn.next().map(|(at, entry)| encoder.encode(*at, black_box(entry))));
    });
    let Ok(tape) = Tape::of_bytes("hour", bytes) else { return };
    let blank = || {
        let view = Arc::new(ClusterView::empty(tape.from()));
        let look = Look { theme: ThemeName::Dark, ascii: false };
        State::new(view, Access::default(), look, Keymap::default(), Duration::from_secs(1))
    };
    let mut reel = Reel::new(&tape, blank);
    let began = std::time::Instant::now();
    while reel.step(&tape).is_some() {}
    println!("read ahead once, whole: {:?}", began.elapsed());
    let mut to = (0..3_600).step_by(787).cycle();
    c.bench_function("go to a moment of an hour that was read", |b| {
        b.iter(|| reel.seen(&tape, Duration::from_secs(to.next().unwrap_or(0)), || true).is_some());
    });
    let mut to = (0..3_600).step_by(787).cycle();
    let mut cursor = Cursor::default();
    c.bench_function("read one view, wherever it is", |b| {
        b.iter(|| {
            cursor.seek(&tape, tape.due(Duration::from_secs(to.next().unwrap_or(0))).saturating_sub(1));
            cursor.next(&tape).is_some()
        });
    });
}

criterion_group!(benches, hot, recordings);
criterion_main!(benches);
