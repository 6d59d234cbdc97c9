//! What the dashboard does with files of snapshots: beside the loop, so that a folder that hangs or a file of gigabytes
//! keeps no key waiting.

use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use crate::app::Msg;
use crate::app::shelf::{News, Work};
use crate::snapshot::{
    Depth, Inspected, Snapshot, SnapshotError, besides, examine, inspect, list, place, prune,
};

/// Works on the folder of snapshots.
pub(super) struct Shelf {
    folder: PathBuf,
    tasks: JoinSet<News>,
    /// The folder is being listed.
    listing: bool,
    /// It was asked for meanwhile: that may have been too early.
    again: bool,
}

impl Shelf {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, tasks: JoinSet::new(), listing: false, again: false }
    }

    /// Begins to do something; [`Self::next`] tells what came of it.
    pub(super) fn begin(&mut self, work: Work) {
        if work == Work::List && std::mem::replace(&mut self.listing, true) {
            self.again = true;
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
                    if matches!(news, News::Listed(..)) {
                        self.listing = false;
                        if std::mem::take(&mut self.again) {
                            self.begin(Work::List);
                        }
                    }
                    return Msg::Shelf(news);
                }
                // A defect of ours in one of them: the others go on.
                Some(Err(e)) => {
                    tracing::error!("work on snapshots ended: {e}");
                    self.listing = false;
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
            News::Listed(listing, place(folder))
        }
        Work::Inspect(path) => {
            let found = inspected(&path).map(Box::new);
            News::Inspected(path, found)
        }
        Work::Verify(path) => {
            let raw = path.file_name().is_some_and(|name| name == "db");
            let found = Snapshot::open(&path).and_then(|s| {
                let mut damages = besides(&s, raw);
                damages.extend(examine(&s, Depth::Verify)?.damages);
                Ok(damages)
            });
            let damages = match found {
                // Its name is said already.
                Err(SnapshotError::Damaged { damage, .. }) => vec![damage.to_string()],
                Err(e) => vec![e.to_string()],
                Ok(damages) => damages.iter().map(ToString::to_string).collect(),
            };
            News::Verified(path, damages)
        }
        Work::Remove { fates, parts } => {
            let decided: Vec<_> = fates.iter().map(|(s, why)| (s, why.clone())).collect();
            let done = prune(&decided, &parts);
            News::Removed(done.removed.len(), done.kept)
        }
    }
}

fn inspected(path: &Path) -> Result<Inspected, String> {
    let snapshot = Snapshot::open(path).map_err(|e| e.to_string())?;
    inspect(&snapshot).map_err(|damage| format!("{}: {damage}", path.display()))
}
