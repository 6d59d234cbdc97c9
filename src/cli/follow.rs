//! `etcdtop lab --follow`: a lab that runs in another terminal, seen from its recording.

use std::path::PathBuf;

use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::args::Cli;
use super::connect::settings;
use super::exit::Exit;
use super::record::IN_LAB;
use super::replay;
use crate::lab::{self, Owner};
use crate::recording::Tape;

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    let settings = settings(cli)?;
    let mut labs = lab::running();
    labs.retain(|(_, folder)| folder.join(IN_LAB).exists());
    match labs.as_slice() {
        [(_, folder)] => {
            let trail = Owner::of(folder).map(|owner| Trail { owner, folder: folder.clone() });
            replay::show(&settings, Some(&folder.join(IN_LAB)), true, trail)
        }
        [] => Err(eyre!(
            "no lab of yours runs that can be followed: begin one with etcdtop lab in another terminal; one that runs with --no-dashboard records nothing, its endpoints are watched with etcdtop --endpoints"
        )),
        several => {
            let named = several.iter().map(|(pid, folder)| {
                format!("\n  process {pid}: etcdtop replay {} --follow", folder.join(IN_LAB).display())
            });
            Err(eyre!("{} labs of yours run: say which{}", several.len(), named.collect::<String>()))
        }
    }
}

/// The way from the recording of a lab to that of the next, when its scenario is begun anew: that is another lab of the same
/// process, in a folder of its own.
pub(super) struct Trail {
    owner: Owner,
    folder: PathBuf,
}

/// What came of a lab.
pub(super) enum Next {
    /// Its process still runs: it may begin anew.
    Nothing,
    /// Its process has ended.
    Gone,
    /// It has begun anew, and is recorded there.
    Anew(PathBuf),
}

impl Trail {
    /// Looks what came of the lab, whose recording has ended.
    pub(super) fn next(&mut self) -> Next {
        // In this order: one that ends between the two looks has no folder either.
        let runs = self.owner.runs();
        let mut others = self.owner.folders();
        others.retain(|folder| *folder != self.folder);
        // While nothing was polled there is nothing to show.
        let found = others.into_iter().find(|f| Tape::open(&f.join(IN_LAB)).is_ok());
        match found {
            Some(folder) => {
                let file = folder.join(IN_LAB);
                self.folder = folder;
                Next::Anew(file)
            }
            None if runs => Next::Nothing,
            None => Next::Gone,
        }
    }

    /// Whether its process has ended.
    pub(super) fn is_over(&self) -> bool {
        !self.owner.runs()
    }
}
