//! Clusters, certificates, a fault proxy, a pseudo terminal, and waiting for a state.

pub mod certs;
pub mod cluster;
pub mod doctor;
pub mod fake;
pub mod job;
pub mod learner;
pub mod operate;
pub mod process;
pub mod proxy;
pub mod pty;
pub mod watch;

use std::time::{Duration, Instant};

/// The longest that anything may take on a busy machine. Never asserted, only given up on.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `check` gives something.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What to set (or, with none, to take away) so that a run knows nothing of this machine's own configuration.
pub fn clean_environment() -> Vec<(String, Option<String>)> {
    // But where the etcds of the tests are.
    let ours = |name: &String| {
        (name.starts_with("ETCDCTL_") || name.starts_with("ETCDTOP_")) && name != "ETCDTOP_CACHE"
    };
    let mut changes: Vec<_> =
        std::env::vars().map(|(name, _)| name).filter(ours).map(|n| (n, None)).collect();
    changes.push(("XDG_CONFIG_HOME".into(), Some("/nonexistent".into())));
    changes.push(("LC_ALL".into(), Some("C.UTF-8".into())));
    changes
}

/// The same inside a runtime that has other things to do meanwhile.
pub async fn wait_for_async<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
