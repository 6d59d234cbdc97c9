//! A folder of snapshots: what lies there, and which of it may go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::examine::{Depth, examine};
use super::file::{Snapshot, TRAILER};
use super::hex;
use super::side::Side;
use crate::model::{Bytes, ClusterId};

/// What a snapshot is verified as whose drill failed.
pub const DRILL_FAILED: &str = "drill failed";
/// Clocks of hosts may be so far apart.
const CLOCKS: Duration = Duration::from_secs(300);

/// A snapshot in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Which file it is, and when it was written last: to see whether it still is what it was.
    pub stamp: Stamp,
}

/// Device, inode, and the moment of the last change, in nanoseconds.
pub type Stamp = (u64, u64, i128);

impl Saved {
    /// Whether it was verified before it got its name, and still looks the same.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.side.is_some() && self.problem.is_none()
    }
}

/// What lies in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Snapshots, the newest first.
    #[serde(default)]
    pub saved: Vec<Saved>,
    /// Parts of snapshots that are not whole: somebody writes them now, or was killed.
    #[serde(default)]
    pub parts: Vec<PathBuf>,
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// Lists a folder. Of a snapshot only its last bytes are read: what its side file says is believed as long as size and
/// checksum are the same.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(about) = fs::metadata(&path) else { continue };
        if !about.is_file() {
            continue;
        }
        // Parts of browsers and others are none of ours.
        if has_extension(&path, "part") && has_extension(&path.with_extension(""), "db") {
            listing.parts.push(path);
        } else if has_extension(&path, "db") || Side::known(&path).is_some() {
            listing.saved.push(saved(path, &about));
        }
    }
    listing.saved.sort_by(|a, b| (b.taken_at, &b.path).cmp(&(a.taken_at, &a.path)));
    listing.parts.sort();
    Ok(listing)
}

fn saved(path: PathBuf, about: &fs::Metadata) -> Saved {
    let written = about.modified().ok().and_then(|t| Timestamp::try_from(t).ok());
    let stamp = (about.dev(), about.ino(), written.map_or(0, Timestamp::as_nanosecond));
    let (side, problem) = match Side::of(&path) {
        Ok(None) => (None, Some("never verified here: it has no side file".to_owned())),
        Err(why) => (None, Some(format!("its side file {}: {why}", Side::path_of(&path).display()))),
        Ok(Some(side)) => {
            let problem = differs(&path, about.len(), &side);
            (Some(side), problem)
        }
    };
    let taken_at = side.as_ref().map(|s| s.taken_at).or(written).unwrap_or(Timestamp::UNIX_EPOCH);
    Saved { path, size: Bytes(about.len()), taken_at, side, problem, stamp }
}

/// Why a file is not what its side file tells of.
pub fn differs(path: &Path, length: u64, side: &Side) -> Option<String> {
    let expected = side.size.0.saturating_add(TRAILER as u64);
    if length != expected {
        return Some(format!("{length} bytes, and {expected} when it was verified"));
    }
    let mut trailer = [0; TRAILER];
    let read = fs::File::open(path).and_then(|f| f.read_exact_at(&mut trailer, side.size.0));
    if let Err(e) = read {
        return Some(format!("cannot be read: {e}"));
    }
    if hex(&trailer) != side.sha256 {
        return Some("its checksum is another than when it was verified".to_owned());
    }
    if side.verified == DRILL_FAILED {
        return Some("its drill failed: no etcd ran from it".to_owned());
    }
    let ahead = Timestamp::now().checked_add(CLOCKS).is_ok_and(|soon| side.taken_at > soon);
    ahead.then(|| format!("says that it was taken {}, which is to come", side.taken_at))
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

/// Which snapshots stay, each cluster by itself. Only verified ones are counted, and the newest of them always stays, as does
/// the one with the highest revision. What is not known to be a snapshot of ours stays, and so does what is damaged while its
/// cluster has no verified one. Times are UTC.
#[must_use]
pub fn retain(saved: &[Saved], keep: Keep) -> Vec<Fate<'_>> {
    let mut clusters: BTreeMap<Option<ClusterId>, Vec<usize>> = BTreeMap::new();
    let mut why: BTreeMap<usize, Vec<&'static str>> = BTreeMap::new();
    for (i, s) in saved.iter().enumerate() {
        match &s.side {
            Some(side) => clusters.entry(side.cluster_id).or_default().push(i),
            None => why.entry(i).or_default().push("nothing is known of it"),
        }
    }
    for all in clusters.into_values() {
        let mut verified: Vec<_> = all.iter().copied().filter(|i| saved[*i].is_verified()).collect();
        verified.sort_by_key(|i| std::cmp::Reverse(saved[*i].taken_at));
        let Some(newest) = verified.first() else {
            for i in all {
                why.entry(i).or_default().push("none of its cluster is verified");
            }
            continue;
        };
        why.entry(*newest).or_default().push("newest verified");
        let revision = |i: usize| saved[i].side.as_ref().map(|s| s.revision);
        if let Some(highest) = verified.iter().copied().rev().max_by_key(|i| revision(*i))
            && revision(highest) > revision(*newest)
        {
            why.entry(highest).or_default().push("highest revision");
        }
        for i in verified.iter().take(keep.last as usize) {
            why.entry(*i).or_default().push("last");
        }
        for (count, word, period) in [
            (keep.hourly, "hourly", "%Y%m%d%H"),
            (keep.daily, "daily", "%Y%m%d"),
            (keep.weekly, "weekly", "%G%V"),
        ] {
            let mut seen = BTreeSet::new();
            for i in &verified {
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

/// Where snapshots go, or are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What is free there.
    pub free: Bytes,
}

/// Looks at a folder that is there or is to be made.
///
/// # Errors
/// Why nothing can be saved there.
pub fn place(folder: &Path) -> Result<Place, String> {
    // A folder that will be made lies on the disk of the one above it.
    let there = folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return Err(format!("{} is no folder", there.display()));
    }
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|e| format!("{} cannot be written to: {e}", there.display()))?;
    let found = rustix::fs::statvfs(there).map_err(|e| format!("{}: {e}", there.display()))?;
    Ok(Place { free: Bytes(found.f_bavail.saturating_mul(found.f_frsize)) })
}

/// A part that was written within this time may still be written, by somebody who takes no lock.
pub const YOUNG_PART: Duration = Duration::from_secs(60);

/// Removes the part of a snapshot that is not whole, unless somebody has its lock or it was written within the time
/// `young`; whether it was removed.
///
/// # Errors
/// Why it could not be looked at or removed.
pub fn remove_part(part: &Path, young: Duration) -> io::Result<bool> {
    // A named pipe would be waited for.
    if !fs::symlink_metadata(part)?.is_file() {
        return Ok(false);
    }
    let left = fs::File::open(part)?;
    let age = left.metadata()?.modified()?.elapsed().unwrap_or_default();
    let idle = rustix::fs::flock(&left, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    if !idle || age < young {
        return Ok(false);
    }
    fs::remove_file(part)?;
    // A side file without its snapshot tells of nothing.
    let snapshot = part.with_extension("");
    if !snapshot.exists() && Side::known(&snapshot).is_some() {
        let _ = fs::remove_file(Side::path_of(&snapshot));
    }
    Ok(true)
}

/// What came of removing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// What is gone.
    pub removed: Vec<PathBuf>,
    /// What is not, and why: a line each.
    pub kept: Vec<String>,
}

/// Removes what may go as it was decided, looking at everything again first: a file that has changed since stays, and
/// nothing of a cluster goes unless its newest verified snapshot is still there and every byte of it is right.
#[must_use]
pub fn prune(decided: &[Fate<'_>], parts: &[PathBuf]) -> Removal {
    let mut done = Removal::default();
    let again = |s: &Saved| fs::metadata(&s.path).ok().map(|about| saved(s.path.clone(), &about));
    let unchanged = |s: &Saved| {
        again(s).is_some_and(|now| now.stamp == s.stamp && now.size == s.size && now.side == s.side)
    };
    let cluster = |s: &Saved| s.side.as_ref().map(|side| side.cluster_id);
    let mut sound: BTreeMap<Option<ClusterId>, Result<(), String>> = BTreeMap::new();
    for (going, _) in decided.iter().filter(|(_, why)| why.is_none()) {
        let Some(of) = cluster(going) else { continue };
        let sound = sound.entry(of).or_insert_with(|| {
            let mut staying = decided.iter().filter(|(s, why)| why.is_some() && cluster(s) == Some(of));
            let keeper = staying.find(|(s, _)| s.is_verified()).ok_or("no verified one stays")?.0;
            let name = keeper.path.display();
            if !unchanged(keeper) {
                return Err(format!("the newest verified one, {name}, is not what it was"));
            }
            let found = Snapshot::open(&keeper.path).and_then(|s| examine(&s, Depth::Verify));
            let found = found.map_err(|e| format!("the newest verified one is damaged: {e}"))?;
            found
                .damages
                .first()
                .map_or(Ok(()), |d| Err(format!("the newest verified one, {name}, is damaged: {d}")))
        });
        let name = going.path.display();
        if let Err(why) = sound {
            done.kept.push(format!("{name} stays: {why}"));
        } else if !unchanged(going) {
            done.kept.push(format!("{name} stays: it has changed meanwhile"));
        } else if let Err(e) = remove(&going.path) {
            done.kept.push(format!("{name}: {e}"));
        } else {
            done.removed.push(going.path.clone());
        }
    }
    for part in parts {
        match remove_part(part, YOUNG_PART) {
            Ok(true) => done.removed.push(part.clone()),
            Ok(false) => done.kept.push(format!("{} stays: somebody writes it", part.display())),
            Err(e) => done.kept.push(format!("{}: {e}", part.display())),
        }
    }
    done
}

/// Removes a snapshot and its side file.
fn remove(snapshot: &Path) -> io::Result<()> {
    let side = Side::known(snapshot);
    fs::remove_file(snapshot)?;
    match side.map(|_| fs::remove_file(Side::path_of(snapshot))) {
        Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
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
            file_sha256: None,
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
            stamp: (0, 0, 0),
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
        assert_eq!(kept(&saved, Keep { last: 1, ..Keep::default() }), ["/1-1.db", "/2-3.db"]);
        // Without a verified one nothing of a cluster goes; what nobody knows is not ours to remove.
        let mut unknown = at(5, 4, true);
        unknown.side = None;
        let saved = [at(0, 3, false), at(1, 3, false), unknown];
        assert_eq!(kept(&saved, Keep { last: 1, ..Keep::default() }).len(), 3);
    }

    #[test]
    fn the_highest_revision_stays_whatever_the_clocks_say() {
        let mut saved = [at(0, 1, true), at(1, 1, true), at(2, 1, true)];
        for (s, revision) in saved.iter_mut().zip([10, 500, 400]) {
            s.side.as_mut().unwrap().revision = Revision(revision);
        }
        assert_eq!(kept(&saved, Keep { last: 1, ..Keep::default() }), ["/1-0.db", "/1-1.db"]);
    }

    #[test]
    fn damaged_ones_take_nobodys_place() {
        // The damaged one of the same day is newer than the whole one.
        let saved = [at(0, 1, true), at(25, 1, false), at(26, 1, true), at(50, 1, true)];
        assert_eq!(kept(&saved, Keep { daily: 2, ..Keep::default() }), ["/1-0.db", "/1-26.db"]);
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
