//! The functions that run every second: reading a scrape, merging, drawing a frame, encoding it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use etcdtop::app::state::{Access, Look};
use etcdtop::app::{Keymap, State};
use etcdtop::config::ThemeName;
use etcdtop::etcd::metrics;
use etcdtop::model::Endpoint;
use etcdtop::poll::merge::Merger;
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

criterion_group!(benches, hot);
criterion_main!(benches);
