//! Where the programs of etcd are: the cache that `scripts/fetch-tools` fills, or `PATH`.

use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// The programs of one etcd release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The server.
    pub etcd: PathBuf,
    /// The client; etcd 3.4 has its snapshot commands here.
    pub etcdctl: PathBuf,
    /// The offline tool; 3.5 and later.
    pub etcdutl: Option<PathBuf>,
    /// `3.6.16`.
    pub version: String,
}

/// Why no etcd can be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BinariesError {
    /// Not this version.
    #[error("no etcd {wanted} on this machine (looked in {} and in PATH): scripts/fetch-tools gets {}", cache.display(), MATRIX.join(", "))]
    Missing {
        /// `3.6`.
        wanted: String,
        /// The cache that was looked in.
        cache: PathBuf,
    },
    /// None at all.
    #[error("no etcd on this machine (looked in {} and in PATH): install etcd, or run scripts/fetch-tools demo", cache.display())]
    None {
        /// The cache that was looked in.
        cache: PathBuf,
    },
    /// A program that does not say its version.
    #[error("{} does not run: {reason}", path.display())]
    Broken {
        /// The program.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The versions that the tests run on.
pub const MATRIX: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// `$ETCDTOP_CACHE`, else `etcdtop` in the XDG cache folder.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let env = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    env("ETCDTOP_CACHE").unwrap_or_else(|| {
        env("XDG_CACHE_HOME")
            .or_else(|| env("HOME").map(|h| h.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("."))
            .join("etcdtop")
    })
}

impl Binaries {
    /// The programs of `wanted` (`3.6`), or of the newest release that is there.
    ///
    /// # Errors
    /// When there is none, with the way to get it.
    pub fn find(wanted: Option<&str>) -> Result<Self, BinariesError> {
        let cache = cache_folder();
        let candidates: Vec<_> = match wanted {
            Some(version) => vec![version],
            None => MATRIX.iter().rev().copied().collect(),
        };
        for version in candidates {
            let folder = cache.join("etcd").join(version);
            if folder.join("etcd").is_file() {
                return Self::in_folder(&folder);
            }
        }
        let in_path = std::env::var_os("PATH")
            .and_then(|path| std::env::split_paths(&path).find(|folder| folder.join("etcd").is_file()));
        let found = in_path.map(|folder| Self::in_folder(&folder)).transpose()?;
        match (found, wanted) {
            (Some(found), None) => Ok(found),
            (Some(found), Some(wanted)) if found.is(wanted) => Ok(found),
            (_, Some(wanted)) => Err(BinariesError::Missing { wanted: wanted.to_owned(), cache }),
            (None, None) => Err(BinariesError::None { cache }),
        }
    }

    /// The programs in `folder`.
    ///
    /// # Errors
    /// When its etcd does not run.
    pub fn in_folder(folder: &Path) -> Result<Self, BinariesError> {
        let etcd = folder.join("etcd");
        let broken = |reason: String| BinariesError::Broken { path: etcd.clone(), reason };
        let output = Command::new(&etcd).arg("--version").output().map_err(|e| broken(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .lines()
            .find_map(|l| l.strip_prefix("etcd Version: "))
            .ok_or_else(|| broken("it does not say its version".into()))?
            .trim()
            .to_owned();
        let etcdutl = Some(folder.join("etcdutl")).filter(|p| p.is_file());
        Ok(Self { etcdctl: folder.join("etcdctl"), etcdutl, version, etcd })
    }

    /// Whether this is a release of `minor` (`3.6`).
    #[must_use]
    pub fn is(&self, minor: &str) -> bool {
        self.version.strip_prefix(minor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}
