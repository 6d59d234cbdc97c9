//! The program itself in a pseudo terminal.

use std::net::TcpListener;

use etcdtop::lab::Spec;
use rustix::process::Signal;

use crate::support::cluster::TestCluster;
use crate::support::process::{alive, members, send};
use crate::support::pty::Pty;
use crate::support::wait_for;

fn lab_folders(pid: i32) -> usize {
    let owned = |path: std::path::PathBuf| {
        std::fs::read_to_string(path.join("owner")).is_ok_and(|o| o.starts_with(&format!("{pid} ")))
    };
    std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().filter(|e| owned(e.path())).count()
}

#[test]
fn the_lab_shows_a_cluster_tells_its_story_and_leaves_nothing() {
    let mut p = Pty::etcdtop(120, 40, &["lab", "--load", "light"]);
    let screen = p.wait("HEALTHY");
    assert!(screen.contains("LAB") && screen.contains("3/3 members serve, can lose 1"), "{screen}");
    let members = members(p.pid());
    assert_eq!(members.len(), 3);
    assert_eq!(lab_folders(p.pid()), 1);
    send(members[1], Signal::STOP);
    p.wait("DEGRADED");
    p.wait("accepts TCP, no answer for");
    // Keys still work while a member hangs.
    p.keys("4");
    p.wait("what each member says of itself");
    p.keys("1");
    send(members[2], Signal::KILL);
    p.wait("QUORUM LOST 1/3");
    send(members[1], Signal::CONT);
    p.wait_until("degraded again", |s| s.contains("DEGRADED") && s.contains("2/3 members"));
    p.keys("7");
    let story =
        p.wait_until("the story", |s| s.contains("Timeline, newest first") && s.contains("QUORUM LOST 1/3"));
    assert!(story.contains("hung (was ok)") && story.contains("refused"), "{story}");
    let pid = p.pid();
    p.keys("q");
    assert!(p.exit().success());
    assert!(p.is_restored(), "{}", p.screen());
    assert!(members.iter().all(|m| !alive(*m)), "members outlive the lab");
    assert_eq!(lab_folders(pid), 0, "the scratch folder is left");
}

#[test]
fn a_killed_lab_takes_its_members_with_it() {
    let mut p = Pty::etcdtop(80, 24, &["lab", "--members", "1", "--load", "none"]);
    p.wait("HEALTHY");
    let members = members(p.pid());
    assert_eq!(members.len(), 1);
    send(p.pid(), Signal::KILL);
    p.exit();
    wait_for("the end of the member", || (!alive(members[0])).then_some(()));
    // And its folder.
    let pid = p.pid();
    wait_for("the end of the folder", || (lab_folders(pid) == 0).then_some(()));
}

/// A port on which TCP connects are never answered: a listener whose queue is full drops them.
fn dropped() -> (TcpListener, Vec<std::net::TcpStream>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200))
    {
        held.push(stream);
    }
    (listener, held, address.to_string())
}

#[test]
fn a_host_that_drops_packets_gives_a_first_frame_a_reason_and_a_way_out() {
    let (_listener, _held, address) = dropped();
    let mut p = Pty::etcdtop(80, 24, &["--endpoints", &address]);
    let screen = p.wait("CONNECTING");
    assert!(screen.contains(&format!("waiting for {address}")), "{screen}");
    p.keys("?");
    p.wait("Keys (");
    p.keys("\x1b");
    let screen = p.wait("UNREACHABLE");
    assert!(screen.contains("no answer to a TCP connect"), "{screen}");
    p.keys("q");
    assert!(p.exit().success());
    assert!(p.is_restored());
}

#[test]
fn every_signal_restores_the_terminal() {
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1), (Signal::QUIT, 3)] {
        let mut p = Pty::etcdtop(80, 24, &["--endpoints", "127.0.0.1:1"]);
        p.wait("UNREACHABLE");
        assert!(p.is_taken(), "{signal:?}: raw, on the alternate screen");
        send(p.pid(), signal);
        let status = p.exit();
        assert_eq!(status.exit_code(), 128 + number, "{signal:?}");
        assert!(p.is_restored(), "{signal:?}");
    }
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let mut p = Pty::etcdtop(80, 24, &["--endpoints", "127.0.0.1:1"]);
    p.wait("UNREACHABLE");
    p.keys("\x1a");
    let stopped =
        |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") T "));
    wait_for("the stop", || stopped(p.pid()).then_some(()));
    wait_for("the restored terminal", || p.is_restored().then_some(()));
    send(p.pid(), Signal::CONT);
    p.wait("UNREACHABLE");
    wait_for("the terminal taken again", || p.is_taken().then_some(()));
    p.keys("q");
    assert!(p.exit().success() && p.is_restored());
}

/// Nobody told etcdtop that it would be stopped, and the shell set the terminal for itself meanwhile.
#[test]
fn stopped_from_outside_it_takes_the_terminal_back() {
    let mut p = Pty::etcdtop(80, 24, &["--endpoints", "127.0.0.1:1"]);
    p.wait("UNREACHABLE");
    send(p.pid(), Signal::STOP);
    let stty = std::process::Command::new("stty").arg("-F").arg(p.device()).arg("sane").status().unwrap();
    assert!(stty.success() && p.is_cooked());
    send(p.pid(), Signal::CONT);
    wait_for("the terminal taken again", || p.is_taken().then_some(()));
    p.keys("?");
    p.wait("Keys (");
    p.keys("\x1b");
    p.wait_until("no help", |s| !s.contains("Keys ("));
    p.keys("q");
    assert!(p.exit().success() && p.is_restored());
}

#[test]
fn sizes_change_while_it_runs() {
    let mut p = Pty::etcdtop(120, 40, &["--endpoints", "127.0.0.1:1"]);
    p.wait("UNREACHABLE");
    for (columns, rows, words) in [(30, 8, "30x8: needs 40x12"), (10, 3, "10x3: nee"), (1, 1, "1")] {
        p.resize(columns, rows);
        p.wait_until(words, |s| s.starts_with(words) || words == "1" && s.trim().chars().count() == 1);
    }
    p.resize(39, 11);
    p.wait("39x11: needs 40x12; q quits");
    p.resize(200, 60);
    p.wait("What is wrong, and what next");
    p.keys("q");
    assert!(p.exit().success());
}

#[test]
fn no_color_means_none_and_dumb_is_refused() {
    let mut p = Pty::with_env(80, 24, &["--endpoints", "127.0.0.1:1"], &[("NO_COLOR", "1")]);
    p.wait("UNREACHABLE");
    p.keys("q");
    p.exit();
    let text = String::from_utf8_lossy(&p.bytes()).into_owned();
    // Every SGR: attributes alone, no colour of any depth.
    for sgr in text.split("\x1b[").skip(1).filter_map(|t| t.split_once('m')).map(|(sgr, _)| sgr) {
        if sgr.chars().all(|c| c.is_ascii_digit() || c == ';') {
            let colour = |n: &str| n.parse::<u8>().is_ok_and(|n| (30..=49).contains(&n) || n >= 90);
            assert!(!sgr.split(';').any(colour), "{sgr}: {text:?}");
        }
    }
    assert!(text.contains("\x1b[0;7m") || text.contains(";7m"), "the open view is still marked");
    let mut p = Pty::with_env(80, 24, &["--endpoints", "127.0.0.1:1"], &[("TERM", "dumb")]);
    p.wait("TERM=dumb");
    assert_eq!(p.exit().exit_code(), 2);
}

#[test]
fn a_paste_is_no_command() {
    let mut p = Pty::etcdtop(80, 24, &["--endpoints", "127.0.0.1:1"]);
    p.wait("UNREACHABLE");
    p.keys("\x1b[200~q\nq\x1b[201~");
    p.keys(":");
    p.keys("\x1b[200~theme\n\x1b[201~");
    p.wait(":theme");
    p.keys("\r");
    p.wait("theme light");
    p.keys("q");
    assert!(p.exit().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_one_whole_frame() {
    let cluster = TestCluster::start(Spec { version: Some("3.6".into()), ..Spec::default() }).await;
    let mut p = Pty::etcdtop(120, 40, &["--endpoints", &cluster.endpoints_text(), "--color", "always"]);
    p.wait("HEALTHY");
    let frames = |bytes: &[u8]| bytes.windows(8).filter(|w| w == b"\x1b[?2026h").count();
    let ends = |bytes: &[u8]| bytes.windows(8).filter(|w| w == b"\x1b[?2026l").count();
    p.keys("p");
    p.wait("FROZEN");
    let before = p.bytes();
    // Each key that changes something gives one frame, whole.
    p.keys("?");
    p.wait("Keys (");
    p.keys("\x1b");
    p.wait_until("no help", |s| !s.contains("Keys ("));
    let after = p.bytes();
    assert_eq!(frames(&after), ends(&after), "a frame is not closed");
    assert_eq!(frames(&after) - frames(&before), 2, "frames for two changes");
    p.keys("q");
    assert!(p.exit().success());
}
