//! Completions and the manual pages, made from the command line's own table, and the name that it goes by.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::args::Cli;
use super::connect::print;
use super::exit::Exit;
use crate::app::keymap::ACTIONS;

/// What every command ends with.
const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "done, or there was nothing to do"),
    ("1", "failed, or done in part: the message says what was done and what not"),
    ("2", "wrong usage or settings"),
    (
        "3",
        "refused by a safety check, nothing was done; also without --yes where there is no terminal to ask on, while \
         another run holds the lock, and outside --window",
    ),
    ("4", "no member could be reached"),
    ("5", "the outcome is unknown: look at the members before it is tried again"),
    ("130, 143", "ended by a signal (SIGINT, SIGTERM) at a safe point: 128 and its number"),
];

/// What `health` and `diagnose` end with.
const PLUGIN_STATUS: &[(&str, &str)] = &[
    ("0", "ok (notes, too)"),
    ("1", "warning: it works, something is wrong"),
    ("2", "critical: it does not work, or nobody can be reached"),
    ("3", "unknown: wrong usage or settings"),
];

const FILES: &[(&str, &str)] = &[
    (
        "$XDG_CONFIG_HOME/etcdtop/config.toml",
        "settings and contexts; `etcdtop config path` tells where it is looked for [~/.config]",
    ),
    (
        "$XDG_STATE_HOME/etcdtop/CLUSTER.jsonl",
        "the journal of a cluster: every plan, who confirmed it, every step and how it ended [~/.local/state]",
    ),
    ("$XDG_STATE_HOME/etcdtop/recordings", "what was recorded with the key w [~/.local/state]"),
    (
        "$XDG_DATA_HOME/etcdtop/snapshots",
        "snapshots, each with a FILE.json beside it, where --snapshot-dir names no other folder [~/.local/share]",
    ),
];

/// As `kubectl-etcdtop` it is a plugin of kubectl: usage and help say what was typed.
pub(super) fn as_called(grammar: Command, program: Option<&OsStr>) -> Command {
    let name = program.map(Path::new).and_then(Path::file_stem);
    if name.is_none_or(|name| name != "kubectl-etcdtop") {
        return grammar;
    }
    let hint = grammar.get_after_help().map(|h| h.to_string().replace("`etcdtop ", "`kubectl etcdtop "));
    grammar.bin_name("kubectl etcdtop").after_help(hint.unwrap_or_default())
}

pub(super) fn completions(shell: Shell) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::grammar(), "etcdtop", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

/// The main page on standard output, or all pages into a folder.
pub(super) fn man(folder: Option<&Path>) -> Result<Exit> {
    let Some(folder) = folder else {
        print(&String::from_utf8_lossy(&main_page()?))?;
        return Ok(Exit::Done);
    };
    // What is wrong with the folder is a failure, not wrong usage.
    let written = pages().and_then(|pages| {
        fs::create_dir_all(folder).map_err(|e| eyre!("{}: {e}", folder.display()))?;
        for (name, page) in pages {
            let file = folder.join(name);
            fs::write(&file, page).map_err(|e| eyre!("{}: {e}", file.display()))?;
        }
        Ok(())
    });
    Ok(written.map_or_else(
        |e| {
            eprintln!("etcdtop: {e}");
            Exit::Failed
        },
        |()| Exit::Done,
    ))
}

/// Every page, by the name of its file.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut grammar = Cli::grammar().disable_help_subcommand(true);
    grammar.build();
    let mut pages = vec![("etcdtop.1".to_owned(), main_page()?)];
    for command in grammar.get_subcommands() {
        command_pages(command, &mut pages)?;
    }
    Ok(pages)
}

/// One page for all: sections of clap's own, and those that it does not know.
fn main_page() -> Result<Vec<u8>> {
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
        "Without a command: the live dashboard of an etcd cluster. The keys are listed below, and with ?. \
         Called as kubectl-etcdtop it is a plugin of kubectl: kubectl etcdtop.",
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
    definitions(&mut roff, "EXIT STATUS", EXIT_STATUS);
    roff.control("PP", []);
    roff.text([roman("health and diagnose follow the habit of monitoring plugins:")]);
    for (code, meaning) in PLUGIN_STATUS {
        definition(&mut roff, code, meaning);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    definition(&mut roff, "ETCDTOP_NAME", "every flag, in capitals and with _ for -");
    definition(&mut roff, "ETCDCTL_NAME", "the flags that etcdctl has, too; ETCDTOP_NAME wins");
    definition(&mut roff, "ETCDTOP_CONFIG, ETCDTOP_CONTEXT", "the config file, and the context in it");
    definition(&mut roff, "NO_COLOR", "no colour, unless --color says otherwise");
    definitions(&mut roff, "FILES", FILES);
    let pages: Vec<_> = grammar.get_subcommands().map(|c| format!("etcdtop-{}", c.get_name())).collect();
    let others = ["etcd".to_owned(), "etcdctl".to_owned()];
    see_also(&mut roff, pages.iter().chain(&others));
    roff.to_writer(&mut out)?;
    Ok(out)
}

/// The page of a built command, and those of the commands below it.
fn command_pages(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    // Thirty flags of every command would bury its own: they stand in the main page.
    let own = command.clone().mut_args(|arg| {
        let global = arg.is_global_set();
        if global { arg.hide(true) } else { arg }
    });
    let plugin = ["etcdtop health", "etcdtop diagnose"].contains(&own.get_bin_name().unwrap_or_default());
    let page = Man::new(own.clone()).source(concat!("etcdtop ", env!("CARGO_PKG_VERSION")));
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    let mut roff = Roff::new();
    roff.control("PP", []);
    roff.text([
        roman("The flags that say which cluster, how to reach it and how to print stand in "),
        bold("etcdtop"),
        roman("(1)."),
    ]);
    roff.to_writer(&mut out)?;
    if own.get_arguments().any(|a| !a.is_hide_set()) {
        page.render_options_section(&mut out)?;
    }
    let below: Vec<_> = own.get_subcommands().filter(|c| !c.is_hide_set()).collect();
    if !below.is_empty() {
        page.render_subcommands_section(&mut out)?;
    }
    if own.get_after_long_help().is_some() || own.get_after_help().is_some() {
        page.render_extra_section(&mut out)?;
    }
    let mut roff = Roff::new();
    definitions(&mut roff, "EXIT STATUS", if plugin { PLUGIN_STATUS } else { EXIT_STATUS });
    definitions(&mut roff, "FILES", FILES);
    let name = own.get_display_name().unwrap_or_else(|| own.get_name()).to_owned();
    // By spaces: `restore-plan` has a hyphen of its own.
    let above = own.get_bin_name().and_then(|b| b.rsplit_once(' ')).map(|(above, _)| above.replace(' ', "-"));
    let related: Vec<_> = below.iter().map(|c| format!("{name}-{}", c.get_name())).collect();
    let mut named = vec!["etcdtop".to_owned()];
    named.extend(above.filter(|above| above != "etcdtop"));
    see_also(&mut roff, named.iter().chain(&related));
    roff.to_writer(&mut out)?;
    pages.push((page.get_filename(), out));
    for command in below {
        command_pages(command, pages)?;
    }
    Ok(())
}

fn definitions(roff: &mut Roff, heading: &str, of: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, meaning) in of {
        definition(roff, term, meaning);
    }
}

fn definition(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

fn see_also<'a>(roff: &mut Roff, names: impl Iterator<Item = &'a String>) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for name in names {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name.as_str()), roman("(1)")]);
    }
    roff.text(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        fn names(command: &Command, prefix: &str, into: &mut Vec<String>) {
            for below in command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
                let name = format!("{prefix}-{}", below.get_name());
                into.push(format!("{name}.1"));
                names(below, &name, into);
            }
        }
        let mut wanted = vec!["etcdtop.1".to_owned()];
        names(&Cli::grammar(), "etcdtop", &mut wanted);
        wanted.sort();
        let mut found: Vec<_> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        found.sort();
        assert_eq!(found, wanted);
        assert!(found.iter().any(|n| n == "etcdtop-snapshot-save.1"), "{found:?}");
    }

    #[test]
    fn only_the_plugin_is_called_so() {
        for (program, usage) in
            [("/usr/bin/etcdtop", "Usage: etcdtop"), ("/opt/bin/kubectl-etcdtop", "Usage: kubectl etcdtop")]
        {
            let called = as_called(Cli::grammar(), Some(OsStr::new(program)));
            let refused = called.try_get_matches_from(["etcdtop", "--help"]).unwrap_err();
            assert!(refused.to_string().contains(usage), "{program}: {refused}");
        }
    }
}
