//! Completions and the manual page, made from the command line's own table.

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use color_eyre::Result;

use super::args::Cli;
use super::connect::print;
use super::exit::Exit;
use crate::app::keymap::ACTIONS;

pub(super) fn completions(shell: Shell) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::grammar(), "etcdtop", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

pub(super) fn man() -> Result<Exit> {
    // One page for all: sections of clap's own, and those that it does not know.
    let grammar = Cli::grammar();
    let page = Man::new(grammar.clone());
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("etcdtop"), roman(" [FLAGS] [COMMAND]")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "Without a command: the live dashboard of an etcd cluster. The keys are listed below, and with ?.",
    )]);
    roff.control("SH", ["COMMANDS"]);
    for command in grammar.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        definition(&mut roff, &format!("etcdtop {}", command.get_name()), &about);
    }
    roff.to_writer(&mut out)?;
    page.render_options_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("SH", ["KEYS"]);
    for action in ACTIONS {
        definition(&mut roff, &action.keys.join(" "), action.help);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "done"),
        ("2", "wrong usage or settings"),
        ("4", "no member could be reached"),
        ("128 and more", "ended by a signal: 128 and its number"),
    ] {
        definition(&mut roff, code, meaning);
    }
    roff.text([roman(
        "health follows the habit of monitoring plugins: 0 ok, 1 warning, 2 critical, 3 unknown.",
    )]);
    roff.control("SH", ["ENVIRONMENT"]);
    definition(&mut roff, "ETCDTOP_NAME", "every flag, in capitals and with _ for -");
    definition(&mut roff, "ETCDCTL_NAME", "the flags that etcdctl has, too; ETCDTOP_NAME wins");
    definition(&mut roff, "ETCDTOP_CONFIG, ETCDTOP_CONTEXT", "the config file, and the context in it");
    definition(&mut roff, "NO_COLOR", "no colour, unless --color says otherwise");
    roff.control("SH", ["FILES"]);
    definition(
        &mut roff,
        "$XDG_CONFIG_HOME/etcdtop/config.toml",
        "settings and contexts; `etcdtop config path` tells where it is looked for",
    );
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("etcd"), roman("(1), "), bold("etcdctl"), roman("(1)")]);
    roff.to_writer(&mut out)?;
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

fn definition(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}
