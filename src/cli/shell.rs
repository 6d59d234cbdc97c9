//! Completions and the manual page, made from the command line's own table.

use clap_complete::Shell;
use color_eyre::Result;

use super::args::Cli;
use super::connect::print;
use super::exit::Exit;

pub(super) fn completions(shell: Shell) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::grammar(), "etcdtop", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

pub(super) fn man() -> Result<Exit> {
    let mut out = Vec::new();
    clap_mangen::Man::new(Cli::grammar()).render(&mut out)?;
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}
