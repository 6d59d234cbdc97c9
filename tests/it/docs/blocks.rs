//! The commands of a page, and what is said of them.

use clap::error::ErrorKind;
use etcdtop::cli::Cli;

use super::pages;
use super::words::split;
use super::world::STATES;

/// Why commands may not be run.
pub const REASONS: &[&str] =
    &["it needs another host", "it needs systemd", "it needs Kubernetes", "it needs a second terminal"];

/// A fence of commands.
#[derive(Clone, Debug)]
pub struct Block {
    /// `triage.md:12`.
    pub at: String,
    /// None: it is not run.
    pub state: Option<String>,
    pub exit: i32,
    pub says: Vec<String>,
    pub screen: Option<String>,
    pub interrupted: bool,
    pub commands: Vec<Vec<String>>,
}

/// What the comment before a fence says.
fn told(block: &mut Block, comment: &str) {
    let mut known = false;
    for part in comment.split(';') {
        let (name, value) = part.split_once(':').map_or((part.trim(), ""), |(n, v)| (n.trim(), v.trim()));
        match name {
            "run" => {
                assert!(STATES.contains(&value), "{}: no state {value:?}: {STATES:?}", block.at);
                block.state = Some(value.to_owned());
                known = true;
            }
            "not-run" => {
                assert!(REASONS.contains(&value), "{}: {value:?} is no reason: {REASONS:?}", block.at);
                known = true;
            }
            "exit" => block.exit = value.parse().unwrap(),
            "says" => block.says = value.split(" | ").map(|s| s.trim().to_owned()).collect(),
            "screen" => block.screen = Some(value.to_owned()),
            "interrupted" => block.interrupted = true,
            _ => panic!("{}: what is {part:?}?", block.at),
        }
    }
    assert!(known, "{}: the comment says neither run nor not-run", block.at);
}

/// The blocks of a page. A block without a state is a mistake of the page.
pub fn blocks_of(name: &str, text: &str) -> Vec<Block> {
    let (mut found, mut comment) = (Vec::new(), None);
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            let inner = line.trim().strip_prefix("<!--").and_then(|l| l.strip_suffix("-->")).map(str::trim);
            if !line.trim().is_empty() {
                comment = inner.map(str::to_owned);
            }
            continue;
        };
        let fence: Vec<&str> =
            lines.by_ref().map(|(_, l)| l).take_while(|l| !l.trim_start().starts_with("```")).collect();
        let said = comment.take();
        let console = language == "console";
        if language != "sh" && !console {
            continue;
        }
        let mut block = Block {
            at: format!("{name}:{}", number + 1),
            state: None,
            exit: 0,
            says: Vec::new(),
            screen: None,
            interrupted: false,
            commands: Vec::new(),
        };
        let said = said.unwrap_or_else(|| panic!("{}: in which state is it run?", block.at));
        told(&mut block, &said);
        let text = fence.join("\n").replace("\\\n", " ");
        for line in text.lines() {
            let line = if console { line.strip_prefix("$ ").unwrap_or_default() } else { line };
            let words = split(line).unwrap_or_else(|e| panic!("{}: {e}", block.at));
            if !words.is_empty() {
                block.commands.push(words);
            }
        }
        assert!(!block.commands.is_empty(), "{}: no command", block.at);
        found.push(block);
    }
    found
}

/// Pages whose commands are run by a test of their own (tests/it/fleet.rs): they want several clusters.
const ELSEWHERE: &[&str] = &["fleet.md"];

/// Every block of every page.
pub fn all() -> Vec<Block> {
    let ours = pages().into_iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str()));
    ours.flat_map(|(name, text)| blocks_of(&name, &text)).collect()
}

/// Those of a state, in the order of pages and lines.
pub fn of(state: &str) -> Vec<Block> {
    let found: Vec<_> = all().into_iter().filter(|b| b.state.as_deref() == Some(state)).collect();
    assert!(!found.is_empty(), "no page has a block in the state {state}");
    found
}

#[test]
fn every_command_of_a_page_is_understood() {
    let (mut looked, mut not_run) = (0, 0);
    for block in all() {
        not_run += usize::from(block.state.is_none());
        for words in &block.commands {
            match words[0].as_str() {
                "etcdtop" => {
                    looked += 1;
                    let read = Cli::grammar().try_get_matches_from(words);
                    // Wrong usage ends with 2, and may be shown.
                    assert!(
                        block.exit == 2 || read.is_ok(),
                        "{}: {words:?}\n{}",
                        block.at,
                        read.unwrap_err()
                    );
                }
                "etcdctl" | "etcdutl" | "export" => {}
                other => {
                    assert!(
                        block.state.is_none(),
                        "{}: {other} is run by nobody here: mark it text",
                        block.at
                    );
                }
            }
        }
    }
    assert!(looked > 60, "only {looked} commands");
    assert!(not_run <= 5, "{not_run} blocks are not run: that was to be rare");
}

/// What stands in the middle of a sentence, too.
#[test]
fn commands_in_sentences_are_understood() {
    let mut looked = 0;
    for (name, text) in pages() {
        for line in text.lines().filter(|l| !l.starts_with("```")) {
            for code in line.split('`').skip(1).step_by(2).filter(|c| c.starts_with("etcdtop ")) {
                // `etcdtop-defrag` and the like are no commands; what a shell would make of one is not asked.
                let Ok(words) = split(code) else { continue };
                let read = Cli::grammar().try_get_matches_from(words);
                // A command may be named without what it takes.
                let named =
                    [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
                let help = |e: &clap::Error| !e.use_stderr() || named.contains(&e.kind());
                assert!(read.as_ref().err().is_none_or(help), "docs/{name}: {code}\n{}", read.unwrap_err());
                looked += 1;
            }
        }
    }
    assert!(looked > 20, "only {looked}");
}

#[test]
fn a_block_without_a_state_is_noticed() {
    let ok = "<!-- run: healthy; exit: 3; says: a | b -->\n\n```sh\netcdtop status \\\n  -o json # so\n```\n";
    let block = blocks_of("x.md", ok).remove(0);
    assert_eq!(block.commands, [["etcdtop", "status", "-o", "json"]]);
    assert_eq!((block.exit, block.says.len(), block.at.as_str()), (3, 2, "x.md:3"));
    for wrong in [
        "```sh\netcdtop status\n```\n",
        "<!-- run: healthy -->\nA word.\n```sh\netcdtop status\n```\n",
        "<!-- run: somehow -->\n```sh\netcdtop status\n```\n",
        "<!-- not-run: no wish -->\n```sh\netcdtop status\n```\n",
        "<!-- exit: 3 -->\n```sh\netcdtop status\n```\n",
    ] {
        assert!(std::panic::catch_unwind(|| blocks_of("x.md", wrong)).is_err(), "{wrong}");
    }
}
