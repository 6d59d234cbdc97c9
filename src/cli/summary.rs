//! `etcdtop replay FILE --summary`: what happened, for a postmortem.

use color_eyre::Result;

use super::exit::Exit;
use crate::config::Settings;
use crate::recording::Tape;

pub(super) fn run(_tape: &Tape, _settings: &Settings) -> Result<Exit> {
    Ok(Exit::Done)
}
