//! `etcdtop lab --follow`: a lab that runs in another terminal, seen from its recording.

use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::args::Cli;
use super::connect::settings;
use super::exit::Exit;
use super::record::IN_LAB;
use super::replay;
use crate::lab;

pub(super) fn run(cli: &Cli) -> Result<Exit> {
    let settings = settings(cli)?;
    let mut labs = lab::running();
    labs.retain(|(_, folder)| folder.join(IN_LAB).exists());
    match labs.as_slice() {
        [(_, folder)] => replay::show(&settings, Some(&folder.join(IN_LAB)), true),
        [] => Err(eyre!(
            "no lab of yours runs that can be followed: begin one with etcdtop lab in another terminal"
        )),
        several => {
            let named = several.iter().map(|(pid, folder)| {
                format!("\n  process {pid}: etcdtop replay {} --follow", folder.join(IN_LAB).display())
            });
            Err(eyre!("{} labs of yours run: say which{}", several.len(), named.collect::<String>()))
        }
    }
}
