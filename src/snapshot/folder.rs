//! A folder of snapshots: what lies there, and which of it may go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::file::TRAILER;
use super::side::Side;
use crate::model::{Bytes, ClusterId};

/// A snapshot in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: Bytes,
    /// When it was taken; without a side file, when the file was written last.
    pub taken_at: Timestamp,
    /// What is known of it.
    pub side: Option<Side>,
    /// Why it cannot be trusted without another look.
    pub problem: Option<String>,
}

impl Saved {
    /// Whether it was verified before it got its name, and still looks the same.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.side.is_some() && self.problem.is_none()
    }
}

/// What lies in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Snapshots, the newest first.
    pub saved: Vec<Saved>,
    /// Parts of snapshots that are not whole: somebody writes them now, or was killed.
    pub parts: Vec<PathBuf>,
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// Lists a folder. No snapshot is read: what its side file says of it is believed as long as its size is the same.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if has_extension(&path, "part") {
            listing.parts.push(path);
        } else if has_extension(&path, "db")
            && let Ok(about) = fs::metadata(&path)
            && about.is_file()
        {
            listing.saved.push(saved(path, about.len(), about.modified().ok()));
        }
    }
    listing.saved.sort_by(|a, b| (b.taken_at, &b.path).cmp(&(a.taken_at, &a.path)));
    listing.parts.sort();
    Ok(listing)
}

fn saved(path: PathBuf, length: u64, modified: Option<SystemTime>) -> Saved {
    let side = Side::of(&path);
    let written = modified.and_then(|t| Timestamp::try_from(t).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let problem = match &side {
        None => Some("never verified here: it has no side file".to_owned()),
        Some(side) if side.size.0 + TRAILER as u64 != length => {
            Some(format!("{length} bytes, and {} when it was verified", side.size.0 + TRAILER as u64))
        }
        Some(_) => None,
    };
    let taken_at = side.as_ref().map_or(written, |s| s.taken_at);
    Saved { path, size: Bytes(length), taken_at, side, problem }
}

/// How many snapshots stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many hours that have one.
    pub hourly: u32,
    /// Of days.
    pub daily: u32,
    /// Of weeks.
    pub weekly: u32,
}

impl Keep {
    /// Whether it keeps nothing at all: then somebody forgot to say what.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.last == 0 && self.hourly == 0 && self.daily == 0 && self.weekly == 0
    }
}

/// A snapshot, and why it stays; none: it may go.
pub type Fate<'a> = (&'a Saved, Option<String>);

/// Which snapshots stay, each cluster by itself; the newest verified one of each always does. Times are UTC.
#[must_use]
pub fn retain(saved: &[Saved], keep: Keep) -> Vec<Fate<'_>> {
    let mut clusters: BTreeMap<Option<ClusterId>, Vec<usize>> = BTreeMap::new();
    for (i, s) in saved.iter().enumerate() {
        clusters.entry(s.side.as_ref().and_then(|s| s.cluster_id)).or_default().push(i);
    }
    let mut why: BTreeMap<usize, Vec<&'static str>> = BTreeMap::new();
    for mut of_one in clusters.into_values() {
        of_one.sort_by_key(|i| std::cmp::Reverse(saved[*i].taken_at));
        if let Some(newest) = of_one.iter().find(|i| saved[**i].is_verified()) {
            why.entry(*newest).or_default().push("newest verified");
        }
        for i in of_one.iter().take(keep.last as usize) {
            why.entry(*i).or_default().push("last");
        }
        for (count, word, period) in [
            (keep.hourly, "hourly", "%Y%m%d%H"),
            (keep.daily, "daily", "%Y%m%d"),
            (keep.weekly, "weekly", "%G%V"),
        ] {
            let mut seen = BTreeSet::new();
            for i in &of_one {
                if seen.len() >= count as usize {
                    break;
                }
                let at = saved[*i].taken_at.to_zoned(TimeZone::UTC);
                if seen.insert(at.strftime(period).to_string()) {
                    why.entry(*i).or_default().push(word);
                }
            }
        }
    }
    saved.iter().enumerate().map(|(i, s)| (s, why.get(&i).map(|words| words.join(", ")))).collect()
}

/// What is free where a folder is, or is to be.
///
/// # Errors
/// When the place cannot be looked at.
pub fn free_space(folder: &Path) -> io::Result<Bytes> {
    // A folder that will be made lies on the disk of the one above it.
    let place = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(place)?;
    Ok(Bytes(found.f_bavail.saturating_mul(found.f_frsize)))
}

/// A part that was written within this time may still be written, by somebody who takes no lock.
pub const YOUNG_PART: Duration = Duration::from_secs(60);

/// Removes the part of a snapshot that is not whole, unless somebody has its lock or it was written within the time
/// `young`; whether it was removed.
///
/// # Errors
/// Why it could not be looked at or removed.
pub fn remove_part(part: &Path, young: Duration) -> io::Result<bool> {
    let left = fs::File::open(part)?;
    let age = left.metadata()?.modified()?.elapsed().unwrap_or_default();
    let idle = rustix::fs::flock(&left, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    if !idle || age < young {
        return Ok(false);
    }
    fs::remove_file(part)?;
    // A side file without its snapshot tells of nothing.
    let snapshot = part.with_extension("");
    if !snapshot.exists() {
        let _ = fs::remove_file(Side::path_of(&snapshot));
    }
    Ok(true)
}

/// Removes a snapshot and its side file.
///
/// # Errors
/// Why the snapshot could not be removed; then its side file is there, too.
pub fn remove(snapshot: &Path) -> io::Result<()> {
    fs::remove_file(snapshot)?;
    match fs::remove_file(Side::path_of(snapshot)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{MemberId, Revision};
    use crate::testing::noon;

    fn at(hours_ago: u64, cluster: u64, verified: bool) -> Saved {
        let taken_at = noon().checked_sub(Duration::from_secs(hours_ago * 3_600)).unwrap();
        let side = Side {
            file: String::new(),
            sha256: String::new(),
            size: Bytes(0),
            cluster_id: Some(ClusterId(cluster)),
            taken_from: MemberId(1),
            taken_at,
            etcd_version: None,
            members: Vec::new(),
            revision: Revision(1),
            status: None,
            verified: "full".into(),
        };
        let problem = (!verified).then(|| "another size".to_owned());
        Saved {
            path: format!("/{cluster}-{hours_ago}.db").into(),
            size: Bytes(1),
            taken_at,
            side: Some(side),
            problem,
        }
    }

    fn kept(saved: &[Saved], keep: Keep) -> Vec<String> {
        let stays = retain(saved, keep);
        stays.iter().filter(|(_, why)| why.is_some()).map(|(s, _)| s.path.display().to_string()).collect()
    }

    #[test]
    fn hours_days_and_weeks_keep_their_newest() {
        // Eight in the morning, a Saturday; one an hour for three days.
        let saved: Vec<_> = (0..72).map(|h| at(h, 1, true)).collect();
        let keep = Keep { last: 2, hourly: 3, daily: 3, weekly: 2 };
        assert_eq!(kept(&saved, keep), ["/1-0.db", "/1-1.db", "/1-2.db", "/1-9.db", "/1-33.db"]);
        assert_eq!(kept(&saved, Keep { daily: 1, ..Keep::default() }), ["/1-0.db"]);
    }

    #[test]
    fn each_cluster_is_by_itself_and_its_newest_verified_one_stays() {
        let saved = [at(0, 1, false), at(1, 1, true), at(2, 1, true), at(3, 2, true), at(9, 2, true)];
        assert_eq!(kept(&saved, Keep { last: 1, ..Keep::default() }), ["/1-0.db", "/1-1.db", "/2-3.db"]);
    }

    proptest! {
        #[test]
        fn the_newest_verified_one_of_each_cluster_always_stays(
            ages in prop::collection::vec((0_u64..5_000, 1_u64..4, any::<bool>()), 1..40),
            (last, hourly, daily, weekly) in (0_u32..3, 0_u32..3, 0_u32..3, 0_u32..3),
        ) {
            let saved: Vec<_> = ages.iter().map(|(h, c, v)| at(*h, *c, *v)).collect();
            let fates = retain(&saved, Keep { last, hourly, daily, weekly });
            for cluster in 1..4 {
                let of_it = |s: &&Saved| s.is_verified() && s.side.as_ref().unwrap().cluster_id == Some(ClusterId(cluster));
                let Some(newest) = saved.iter().filter(of_it).map(|s| s.taken_at).max() else { continue };
                let stays = fates.iter().any(|(s, why)| of_it(s) && s.taken_at == newest && why.is_some());
                prop_assert!(stays);
            }
        }
    }
}
