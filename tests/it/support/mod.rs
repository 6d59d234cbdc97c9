//! Clusters, certificates, a fault proxy, a pseudo terminal, and waiting for a state.

pub mod certs;
pub mod cluster;
pub mod fake;
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
