//! Recordings of real clusters: whole, cut by a kill, followed while they are written; and what a replay of one shows.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdtop::app::operation::Operation;
use etcdtop::app::replay::{self, News, Replay};
use etcdtop::app::state::{Access, Look};
use etcdtop::app::{Key, Keymap, Msg, State, update};
use etcdtop::config::ThemeName;
use etcdtop::lab::{Load, LoadKind, Spec};
use etcdtop::model::{ClusterView, VerdictKind};
use etcdtop::ops::journal::End;
use etcdtop::ops::plan::{Request, Roll};
use etcdtop::ops::{Limits, OpEvent};
use etcdtop::recording::{Cursor, Entry, Meta, Player, Recorder, Tape};
use etcdtop::ui;
use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::process::Signal;

use crate::support::cluster::{TestCluster, program};
use crate::support::operate::{dialer, fill, plan, run_telling};
use crate::support::process::send;
use crate::support::pty::Pty;
use crate::support::watch::Watch;
use crate::support::{clean_environment, wait_for};

pub fn etcdtop(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn views(tape: &Tape) -> Vec<Arc<ClusterView>> {
    let mut cursor = Cursor::default();
    let entries = std::iter::from_fn(|| cursor.next(tape));
    entries.filter_map(|(_, e)| if let Entry::View(view) = e { Some(view) } else { None }).collect()
}

/// Waits until a file that is being written holds so many views of a whole cluster.
fn wait_for_views(file: &Path, count: usize) -> Vec<Arc<ClusterView>> {
    wait_for("the recording", || {
        let seen = views(&Tape::open(file).ok()?);
        (seen.iter().filter(|v| v.serving() == 3).count() >= count).then_some(seen)
    })
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    wait_for("the end of etcdtop", || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_cluster_is_recorded_without_a_screen_and_a_kill_loses_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(TestCluster::of("3.6"));
    let endpoints = cluster.endpoints_text();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("killed.etcdtop");
    let name = file.to_str().unwrap();
    let child = etcdtop(&["record", name, "--endpoints", &endpoints]).spawn().unwrap();
    let seen = wait_for_views(&file, 4);
    send(child.id().cast_signed(), Signal::KILL);
    ended(child);
    let tape = Tape::open(&file).unwrap();
    let kept = views(&tape);
    assert!(kept.len() >= seen.len() && kept[..seen.len()] == seen[..], "what could be read is there");
    assert!(!tape.ended() && tape.notices().len() == 1, "{:?}", tape.notices());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // What is there is never overwritten.
    let before = std::fs::read(&file).unwrap();
    let (code, said) = ended(etcdtop(&["record", name, "--endpoints", &endpoints]).spawn().unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(name) && said.contains("not overwritten") && said.contains("another file"),
        "{said}"
    );
    assert!(std::fs::read(&file).unwrap() == before);
    // Ended in order: by a signal, or by itself.
    for (which, args) in [("signal", &[][..]), ("time", &["--for", "3s"][..])] {
        let file = folder.path().join(which);
        let all = [&["record", file.to_str().unwrap(), "--endpoints", &endpoints], args].concat();
        let child = etcdtop(&all).spawn().unwrap();
        if which == "signal" {
            wait_for_views(&file, 2);
            send(child.id().cast_signed(), Signal::TERM);
        }
        let (code, said) = ended(child);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("views, ") && said.contains("etcdtop replay"), "{said}");
        let tape = Tape::open(&file).unwrap();
        assert!(tape.ended() && tape.notices().is_empty(), "{:?}", tape.notices());
    }
    // And it tells what happened.
    let summary = etcdtop(&["replay", name, "--summary"]).output().unwrap();
    let text = String::from_utf8(summary.stdout).unwrap();
    assert!(
        text.contains("found 3 members") && text.contains("HEALTHY") && text.contains("killed"),
        "{text}"
    );
    let json = etcdtop(&["replay", name, "--summary", "-o", "json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["members"].as_array().unwrap().len(), 3, "{json}");
}

#[test]
fn an_anonymised_recording_names_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(TestCluster::of("3.5"));
    let folder = tempfile::tempdir().unwrap();
    let (file, again) = (folder.path().join("hidden"), folder.path().join("again"));
    let name = file.to_str().unwrap();
    let child =
        etcdtop(&["record", name, "--anonymise", "--for", "8s", "--endpoints", &cluster.endpoints_text()]);
    let (code, said) = ended({ child }.spawn().unwrap());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) =
        ended(etcdtop(&["replay", name, "--anonymise", again.to_str().unwrap()]).spawn().unwrap());
    assert_eq!(code, Some(0), "{said}");
    for file in [&file, &again] {
        let tape = Tape::open(file).unwrap();
        let mut cursor = Cursor::default();
        let entries = std::iter::from_fn(|| cursor.next(&tape));
        let text: String = entries.map(|(_, e)| e.to_json().unwrap().1.to_string()).collect();
        let ids = views(&tape).last().unwrap().members.iter().filter_map(|m| m.id).count();
        assert_eq!(ids, 3);
        for named in ["127.0.0.1", "\"m1\"", "localhost", folder.path().to_str().unwrap()] {
            assert!(!text.contains(named), "{named}: {text}");
        }
    }
}

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recordings/v1.0.etcdtop");

#[test]
fn a_recording_plays_in_a_terminal() {
    let mut p = Pty::etcdtop(120, 40, &["replay", STORED]);
    // A frame may come in pieces: its last lines after the first.
    let begun = |s: &str| ["0:00/2:33", "0:01/2:33"].iter().any(|at| s.contains(at));
    let screen = p.wait_until("its beginning", begun);
    assert!(screen.contains("REPLAY"), "{screen}");
    p.keys(" ");
    p.wait("‖ x1");
    // Read to its end, then to the last events: a member that hung, and came back.
    p.keys("T100%\r");
    p.wait("2:33/2:33");
    p.keys("T90%\r");
    p.wait("2:17/2:33");
    p.keys("]");
    let screen = p.wait("▲ DEGRADED  ");
    assert!(screen.contains("next: HEALTHY"), "{screen}");
    p.keys("]");
    p.wait("● HEALTHY");
    p.keys("[");
    p.wait("▲ DEGRADED  ");
    p.keys("d");
    p.wait("this is a recording: nothing can be changed");
    // Views, and what was selected, stay as they are.
    p.keys("5T1:57\r");
    p.wait("the recording has no 1:57");
    // By itself: with a letter behind it, it is another key.
    p.keys("\x1b");
    p.wait_until("no dialog", |s| !s.contains("Go to"));
    p.keys("T50%\r");
    p.wait("1:16/2:33");
    p.keys("T100%\r");
    p.wait("2:33/2:33");
    p.wait("Rolling defragmentation of cluster-name");
    // Played to its end it stands there.
    p.keys(",+++++ ");
    p.wait("the end of the recording");
    p.keys("q");
    assert!(p.exit().success());
    assert!(p.is_restored());
    // The one that comes with the program, where nothing else is.
    let mut p = Pty::etcdtop(80, 24, &["replay"]);
    p.wait("REPLAY");
    p.keys("q");
    assert!(p.exit().success());
}

#[test]
fn w_records_from_the_dashboard() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(TestCluster::of("3.6"));
    let home = tempfile::tempdir().unwrap();
    let env = [("XDG_STATE_HOME", home.path().to_str().unwrap())];
    let mut p = Pty::with_env(120, 40, &["--endpoints", &cluster.endpoints_text()], &env);
    p.wait("HEALTHY");
    p.keys("w");
    p.wait(" REC ");
    p.wait("w ends it");
    let below = home.path().join("etcdtop/recordings");
    let file: PathBuf = std::fs::read_dir(&below).unwrap().next().unwrap().unwrap().path();
    assert_eq!(below.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    wait_for_views(&file, 3);
    p.keys("w");
    p.wait("recorded ");
    p.wait_until("no badge", |s| !s.contains(" REC "));
    assert!(Tape::open(&file).unwrap().ended());
    // One that was begun with the program ends with it.
    p.keys("q");
    assert!(p.exit().success());
    let file = home.path().join("flag.etcdtop");
    let args = ["--endpoints", &cluster.endpoints_text(), "--record", file.to_str().unwrap()];
    let mut p = Pty::with_env(120, 40, &args, &env);
    p.wait(" REC ");
    wait_for_views(&file, 2);
    p.keys("q");
    assert!(p.exit().success());
    assert!(p.screen().contains("etcdtop replay"), "{}", p.screen());
    assert!(Tape::open(&file).unwrap().ended());
    // Where there is no screen the flag is no use.
    let refused = etcdtop(&["status", "--record", "x"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("etcdtop record x"), "{said}");
}

/// A copy of what was lost is not more than it was.
#[test]
fn a_copy_without_names_hides_no_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let whole = std::fs::read(STORED).unwrap();
    let (cut, damaged) = (path("cut"), path("damaged"));
    std::fs::write(&cut, &whole[..whole.len() - 20_000]).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 5] ^= 0x40;
    std::fs::write(&damaged, &bytes).unwrap();
    for (file, ends, lost) in [
        (STORED, true, None),
        (cut.as_str(), false, Some("it was cut there")),
        (&damaged, true, Some("are damaged")),
    ] {
        let to = path("copy");
        let (code, said) = ended(etcdtop(&["replay", file, "--anonymise", &to]).spawn().unwrap());
        assert_eq!(code, Some(0), "{said}");
        let (source, copy) = (Tape::open(file.as_ref()).unwrap(), Tape::open(to.as_ref()).unwrap());
        assert_eq!((copy.ended(), source.ended()), (ends, ends), "{file}");
        assert_eq!(views(&copy).len(), views(&source).len());
        let mut cursor = Cursor::default();
        let entries = std::iter::from_fn(|| cursor.next(&copy));
        assert_eq!(entries.filter(|(_, e)| *e == Entry::End).count(), usize::from(ends), "{file}");
        let summary = etcdtop(&["replay", &to, "--summary"]).output().unwrap();
        let text = String::from_utf8(summary.stdout).unwrap();
        assert_eq!(text.contains("## What is missing"), lost.is_some(), "{text}");
        assert!(lost.is_none_or(|lost| text.contains(lost) && said.contains(lost)), "{text} {said}");
        std::fs::remove_file(to).unwrap();
    }
}

/// Who mistypes an endpoint can use the name of the file once more.
#[test]
fn a_recording_that_came_to_nothing_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.etcdtop");
    let name = file.to_str().unwrap();
    let nowhere = ["--discovery-srv", "nowhere.invalid"];
    for _ in 0..2 {
        let (code, said) = ended(etcdtop(&[&["record", name][..], &nowhere].concat()).spawn().unwrap());
        assert!(code != Some(0) && said.contains("nowhere.invalid") && !file.exists(), "{code:?} {said}");
    }
    let mut p = Pty::etcdtop(120, 40, &[&["--record", name][..], &nowhere].concat());
    assert!(!p.exit().success());
    assert!(!file.exists(), "{}", p.screen());
    // One that cannot be made is known before anything is asked.
    std::fs::write(&file, "there").unwrap();
    let (code, said) = ended(etcdtop(&[&["record", name][..], &nowhere].concat()).spawn().unwrap());
    assert!(code == Some(2) && said.contains("not overwritten"), "{code:?} {said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"there");
}

/// A disk that is full ends the recording, and nothing else; what was recorded until then is whole.
#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(TestCluster::of("3.6"));
    let home = tempfile::tempdir().unwrap();
    let small = home.path().join("small");
    std::fs::create_dir(&small).unwrap();
    // A page is left on it.
    let script = format!(
        "cd {0} && mount -t tmpfs -o size=64k none {0} && cd {0} && head -c 61440 /dev/zero >filler && exec {1} --endpoints {2} --record {0}/x.etcdtop",
        small.display(),
        program().display(),
        cluster.endpoints_text()
    );
    let env = [("XDG_STATE_HOME", home.path().to_str().unwrap())];
    let mut p = Pty::program(120, 40, "unshare", &["-Urm", "sh", "-c", &script], &env);
    p.wait(" REC ");
    p.wait("the recording ended");
    p.wait_until("no badge", |s| !s.contains(" REC "));
    // It stands in the timeline, too, and the members are still looked after.
    p.keys("7/recording\r");
    p.wait("Timeline, newest first (1)");
    let file = PathBuf::from(format!("/proc/{}/root{}/x.etcdtop", p.pid(), small.display()));
    let tape = Tape::open(&file).unwrap();
    assert!(!views(&tape).is_empty());
    assert!(
        !tape.notices().iter().any(|n| n.contains("cut") || n.contains("damaged")),
        "{:?}",
        tape.notices()
    );
    send(cluster.members()[1].pid().unwrap().cast_signed(), Signal::STOP);
    p.wait("DEGRADED");
    send(cluster.members()[1].pid().unwrap().cast_signed(), Signal::CONT);
    p.keys("q");
    assert!(p.exit().success());
}

/// A dashboard that has seen nothing.
fn blank(at: Timestamp) -> State {
    let access = Access {
        name: "test".into(),
        origin: "--endpoints".into(),
        read_only: None,
        lab: false,
        follower: false,
    };
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let view = Arc::new(ClusterView::empty(at));
    let mut state = State::new(view, access, look, Keymap::default(), Duration::from_secs(1));
    state.zone = jiff::tz::TimeZone::UTC;
    state
}

/// What is on the views, cell by cell, without messages and what only a replay has.
fn screens(state: &mut State) -> Vec<Buffer> {
    let (replay, toast) = (state.replay.take(), state.toast.take());
    let mut shown = Vec::new();
    state.size = (120, 40);
    for key in ["2", "3", "4", "5", "6", "7", "8", "9", "1"] {
        update(state, Msg::Key(Key::parse(key).unwrap()));
        let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 40));
        ui::draw(state, buffer.area, &mut buffer);
        shown.push(buffer);
    }
    (state.replay, state.toast) = (replay, toast);
    shown
}

/// A dashboard, a recorder beside it, and what was on the screens: after each message, or after every so many of a long story.
struct Desk {
    state: State,
    recorder: Recorder,
    every: usize,
    messages: usize,
    shown: Vec<Vec<Buffer>>,
}

impl Desk {
    fn take(&mut self, msg: Msg) {
        let entry = replay::entry(&msg).unwrap();
        let at = entry.at().unwrap_or(self.state.clock);
        self.recorder.take(at, entry);
        update(&mut self.state, msg);
        self.messages += 1;
        if self.messages.is_multiple_of(self.every) {
            self.shown.push(screens(&mut self.state));
        }
    }

    async fn see(&mut self, live: &mut tokio::sync::watch::Receiver<Arc<ClusterView>>) {
        live.changed().await.unwrap();
        let view = live.borrow_and_update().clone();
        self.take(Msg::View(view));
    }

    /// Rolls a defragmentation over the cluster, and sees everything that it and the members tell meanwhile.
    async fn roll(&mut self, cluster: &TestCluster, watched: &Watch, journals: &Path) {
        let mut live = watched.poll().views();
        let request = Request::Defragment(Roll { move_leader: true, ..Roll::default() });
        let roll = plan(&request, &self.state.view).unwrap();
        let began = Operation::new(roll.clone(), self.state.clock);
        self.take(Msg::Started(Box::new(began)));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (handle, dialer, journals) = (watched.poll().handle(), dialer(cluster), journals.to_owned());
        let engine = tokio::spawn(async move {
            let tell = move |e: &OpEvent| tell.send(e.clone()).unwrap();
            run_telling(&dialer, handle, roll, Limits::default(), &journals, tell).await
        });
        loop {
            tokio::select! {
                biased;
                event = told.recv() => match event {
                    Some(event) => self.take(Msg::Operation(event)),
                    None => break,
                },
                () = self.see(&mut live) => {}
            }
        }
        let ran = engine.await.unwrap();
        assert_eq!(ran.end, End::Done, "{:?}", ran.events);
        self.take(Msg::Journal(Box::new(ran.past)));
    }
}

/// For how long rolls follow each other, from `ETCDTOP_ROLL_MINUTES`; without it there is one.
fn minutes() -> Option<u64> {
    std::env::var("ETCDTOP_ROLL_MINUTES").ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_defragmentation_is_replayed_cell_by_cell() {
    let cluster = TestCluster::start(Spec { version: Some("3.6".into()), ..Spec::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roll.etcdtop");
    fill(&cluster, 3, 8, 256);
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    let mut live = watched.poll().views();
    let recorder = Recorder::create(&file, None).unwrap();
    let every = if minutes().is_some() { 20 } else { 1 };
    let mut desk = Desk { state: blank(Timestamp::now()), recorder, every, messages: 0, shown: Vec::new() };
    desk.recorder
        .take(desk.state.clock, Entry::Meta(Box::new(Meta { interval_ms: 1_000, ..Meta::default() })));
    // A few views first, among them scrapes.
    let whole = |v: &ClusterView| {
        v.members.len() == 3 && v.members.iter().all(|m| m.metrics.is_some() && m.lag.is_some())
    };
    while !(whole(&desk.state.view) && desk.state.verdict.kind >= VerdictKind::Healthy) {
        desk.see(&mut live).await;
    }
    let until = Instant::now() + Duration::from_secs(60 * minutes().unwrap_or_default());
    let load = minutes().map(|_| Load::start(&cluster, LoadKind::Kubernetes));
    loop {
        desk.roll(&cluster, &watched, folder.path()).await;
        for _ in 0..3 {
            desk.see(&mut live).await;
        }
        if Instant::now() >= until {
            break;
        }
        for _ in 0..30 {
            desk.see(&mut live).await;
        }
    }
    drop(load);
    let Desk { state, recorder, every, messages, shown } = desk;
    recorder.end(state.clock).unwrap();

    let tape = Tape::open(&file).unwrap();
    assert!(tape.ended() && tape.notices().is_empty(), "{:?}", tape.notices());
    let mut replayed = blank(tape.from());
    replayed.replay = Some(Box::new(Replay {
        name: String::new(),
        length: tape.length(),
        player: Player::default(),
        clock: tape.from(),
        marks: Vec::new(),
        gaps: Vec::new(),
        read: Duration::ZERO,
        seeking: None,
        follows: false,
    }));
    let mut cursor = Cursor::default();
    let (mut again, mut told) = (Vec::new(), 0_usize);
    while let Some((record, entry)) = cursor.next(&tape) {
        if matches!(entry, Entry::Meta(_) | Entry::End) {
            continue;
        }
        update(&mut replayed, Msg::Replay(News::Entry(record.at, Box::new(entry))));
        told += 1;
        if told.is_multiple_of(every) {
            again.push(screens(&mut replayed));
        }
    }
    assert_eq!((told, again.len()), (messages, shown.len()));
    for (i, (was, is)) in shown.iter().zip(&again).enumerate() {
        for (screen, (was, is)) in was.iter().zip(is).enumerate() {
            assert!(
                was == is,
                "screen {screen} after message {} of {messages}: {:?}",
                (i + 1) * every,
                was.diff(is)
            );
        }
    }
    assert!(messages > 12, "{messages} messages are no roll");
    let bytes = std::fs::metadata(&file).unwrap().len();
    println!("{messages} messages in {:?}, {bytes} bytes, {} moments compared", tape.length(), shown.len());
}

/// The reader in the documentation does what it says.
#[test]
fn the_reader_in_the_documentation_reads() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recording.md")).unwrap();
    let code = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let ran = Command::new("python3").args(["-c", code, STORED]).output();
    let Ok(ran) = ran else {
        println!("python3 is not on this host: the reader in docs/recording.md was not tried");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8(ran.stdout).unwrap();
    let tape = Tape::open(STORED.as_ref()).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), views(&tape).len(), "a line for each view:\n{told}");
    let last = views(&tape).last().unwrap().revision.unwrap();
    assert!(lines.last().unwrap().contains(&format!("revision {}", last.0)), "{told}");
}
