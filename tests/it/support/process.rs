//! Processes of the tests' own.

use rustix::process::{Pid, Signal, kill_process};

pub fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Processes that were started by `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<i32>>())
        .collect()
}

/// The members of a lab that `pid` runs.
pub fn members(pid: i32) -> Vec<i32> {
    let is_member = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|args| args.contains("--data-dir="))
    };
    children(pid).into_iter().filter(is_member).collect()
}

pub fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}
