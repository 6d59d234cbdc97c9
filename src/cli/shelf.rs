//! What the dashboard does with files of snapshots: beside the loop, so that a folder that hangs or a file of gigabytes
//! keeps no key waiting.

use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use crate::app::Msg;
use crate::app::shelf::{News, Work, name_of};
use crate::snapshot::{
    Depth, Inspected, Snapshot, YOUNG_PART, examine, free_space, inspect, list, remove, remove_part,
};

/// Works on the folder of snapshots.
pub(super) struct Shelf {
    folder: PathBuf,
    tasks: JoinSet<News>,
    /// The folder is being listed.
    listing: bool,
}

impl Shelf {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, tasks: JoinSet::new(), listing: false }
    }

    /// Begins to do something; [`Self::next`] tells what came of it.
    pub(super) fn begin(&mut self, work: Work) {
        if work == Work::List && std::mem::replace(&mut self.listing, true) {
            return;
        }
        let folder = self.folder.clone();
        self.tasks.spawn_blocking(move || done(&folder, work));
    }

    /// What there is to tell next; never anything while nothing is done.
    pub(super) async fn next(&mut self) -> Msg {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(news)) => {
                    self.listing &= !matches!(news, News::Listed(..));
                    return Msg::Shelf(news);
                }
                // A defect of ours in one of them: the others go on.
                Some(Err(e)) => {
                    tracing::error!("work on snapshots ended: {e}");
                    return Msg::Refused(format!("internal error: {e}"));
                }
                None => std::future::pending().await,
            }
        }
    }
}

fn done(folder: &Path, work: Work) -> News {
    match work {
        Work::List => {
            let listing = match list(folder) {
                // Nothing was ever saved.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(crate::snapshot::Listing::default()),
                other => other.map_err(|e| format!("{}: {e}", folder.display())),
            };
            News::Listed(listing, free_space(folder).ok())
        }
        Work::Inspect(path) => {
            let found = inspected(&path).map(Box::new);
            News::Inspected(path, found)
        }
        Work::Verify(path) => {
            let damages = match Snapshot::open(&path).and_then(|s| {
                let lost = s.trailer().is_none();
                examine(&s, Depth::Verify).map(|found| (found.damages, lost))
            }) {
                Err(e) => vec![e.to_string()],
                Ok((damages, lost)) => {
                    let lost = lost.then(|| "trailer: it has no checksum at its end".to_owned());
                    lost.into_iter().chain(damages.iter().map(ToString::to_string)).collect()
                }
            };
            News::Verified(path, damages)
        }
        Work::Remove { snapshots, parts } => {
            let (mut removed, mut failed) = (0, Vec::new());
            for path in snapshots {
                match remove(&path) {
                    Ok(()) => removed += 1,
                    Err(e) => failed.push(format!("{}: {e}", name_of(&path))),
                }
            }
            for path in parts {
                match remove_part(&path, YOUNG_PART) {
                    Ok(true) => removed += 1,
                    Ok(false) => failed.push(format!("{}: somebody writes it", name_of(&path))),
                    Err(e) => failed.push(format!("{}: {e}", name_of(&path))),
                }
            }
            News::Removed(removed, failed)
        }
    }
}

fn inspected(path: &Path) -> Result<Inspected, String> {
    let snapshot = Snapshot::open(path).map_err(|e| e.to_string())?;
    inspect(&snapshot).map_err(|damage| format!("{}: {damage}", path.display()))
}
