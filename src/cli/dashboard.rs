//! placeholder
use super::args::Cli;
use super::exit::Exit;
use crate::app::state::Access;
use crate::config::Settings;
use crate::poll;
use color_eyre::Result;
pub(super) enum Opening {
    Ready(poll::Options),
}
pub(super) fn need_terminal() -> Result<()> {
    Ok(())
}
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
pub(super) fn open(_: &tokio::runtime::Runtime, _: &Settings, _: Opening, _: Access) -> Result<Exit> {
    Ok(Exit::Done)
}
pub(super) fn run(_: &Cli) -> Result<Exit> {
    Ok(Exit::Done)
}
