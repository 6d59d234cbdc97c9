//! `etcdtop lab --follow`: a lab that runs in another terminal, and the next one when it is begun anew.

use rustix::process::Signal;

use crate::replay::etcdtop;
use crate::support::process::{children, send};
use crate::support::pty::Pty;
use crate::support::wait_for;

#[test]
fn a_lab_is_followed_from_another_terminal() {
    let temp = tempfile::tempdir().unwrap();
    let env = [("TMPDIR", temp.path().to_str().unwrap())];
    let nobody = etcdtop(&["lab", "--follow"]).env("TMPDIR", temp.path()).output().unwrap();
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && said.contains("no lab of yours runs"), "{said}");
    let mut lab = Pty::with_env(120, 40, &["lab", "--load", "light"], &env);
    lab.wait("HEALTHY");
    let mut follower = Pty::with_env(120, 40, &["lab", "--follow"], &env);
    let screen = follower.wait("HEALTHY");
    assert!(screen.contains(" REPLAY ") && screen.contains(" LAB "), "{screen}");
    let members = children(lab.pid());
    send(members[1], Signal::STOP);
    lab.wait("DEGRADED");
    follower.wait("DEGRADED");
    // It may look back meanwhile, and comes back to now.
    follower.keys(" [");
    follower.wait("● HEALTHY");
    follower.keys("T100%\r ");
    follower.wait("DEGRADED");
    send(members[1], Signal::CONT);
    follower.wait("● HEALTHY");
    let mut second = Pty::with_env(120, 40, &["lab", "--load", "none", "--members", "1"], &env);
    second.wait("HEALTHY");
    let several = etcdtop(&["lab", "--follow"]).env("TMPDIR", temp.path()).output().unwrap();
    let said = String::from_utf8_lossy(&several.stderr).into_owned();
    assert!(said.contains("2 labs") && said.contains(&format!("process {}", lab.pid())), "{said}");
    second.keys("q");
    assert!(second.exit().success());
    lab.keys("q");
    assert!(lab.exit().success());
    follower.wait("nothing more comes");
    follower.keys("q");
    assert!(follower.exit().success());
}

#[test]
fn whoever_follows_a_lab_goes_on_with_it_when_it_is_begun_anew() {
    let temp = tempfile::tempdir().unwrap();
    let env = [("TMPDIR", temp.path().to_str().unwrap())];
    let mut lab = Pty::with_env(120, 40, &["lab", "leader-crash", "--seed", "0"], &env);
    lab.wait("step 1 of");
    let mut follower = Pty::with_env(120, 40, &["lab", "--follow"], &env);
    follower.wait("step 1 of");
    let recording = || {
        let labs = std::fs::read_dir(temp.path()).unwrap().flatten();
        let found: Vec<_> = labs.map(|e| e.path().join("recording")).filter(|f| f.exists()).collect();
        (found.len() == 1).then(|| found[0].clone())
    };
    let first = wait_for("the first recording", recording);
    follower.keys("4");
    // The last entry of the menu, which there is as soon as the scenario is prepared.
    lab.wait("A act");
    lab.keys("A");
    lab.wait("begin the scenario anew");
    lab.keys("G\r");
    follower.wait("the lab was begun anew");
    let second = wait_for("the second recording", recording);
    assert!(first != second);
    // It goes on there, with the view that was looked at, and sees what happens.
    lab.wait("step 1 of");
    let screen = follower.wait_until("the new lab", |s| s.contains("step 1 of") && s.contains(" REPLAY "));
    assert!(screen.contains("TERM"), "{screen}");
    // Who looks back is not taken away from there.
    follower.keys(" ");
    follower.wait("‖ x1");
    follower.keys("T0%\r");
    follower.wait(" 0:0");
    lab.wait("A act");
    lab.keys("A");
    lab.wait("begin the scenario anew");
    lab.keys("G\r");
    follower.wait("at the end of this recording it goes on there");
    follower.wait("‖ x1");
    follower.keys("T100%\r");
    follower.wait("this is what comes now");
    lab.wait("step 1 of");
    lab.keys("q");
    lab.exit();
    follower.wait("nothing more comes");
    follower.keys("q");
    assert!(follower.exit().success());
}
