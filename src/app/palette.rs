//! The command palette: what is typed against the names of the actions.

use super::keymap::{ACTIONS, Action};

/// The actions that match, best first. An empty text matches all.
#[must_use]
pub fn matches(typed: &str) -> Vec<&'static Action> {
    let typed = typed.trim().to_lowercase().replace('_', " ");
    let mut found: Vec<_> = ACTIONS.iter().filter_map(|a| Some((score(a, &typed)?, a))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, a)| a).collect()
}

/// Lower is better: the name's start, the start of a word of it, a part of it, the start of a word of the help.
fn score(action: &Action, typed: &str) -> Option<usize> {
    let starts = |text: &str| text.to_lowercase().split([' ', '_', ',']).any(|word| word.starts_with(typed));
    let name = action.name.replace('_', " ");
    if name.starts_with(typed) {
        Some(0)
    } else if starts(&name) {
        Some(1)
    } else if name.contains(typed) {
        Some(2)
    } else {
        (starts(action.help) || typed.contains(' ') && action.help.to_lowercase().contains(typed))
            .then_some(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_comes_first() {
        assert_eq!(matches("fre")[0].name, "freeze");
        assert_eq!(matches("poll")[0].name, "poll_now");
        assert_eq!(matches("next view")[0].name, "next_view");
        assert_eq!(matches("next_view")[0].name, "next_view");
        assert_eq!(matches("member")[0].name, "member");
        assert_eq!(matches("ssh")[0].name, "copy");
        // Letters scattered over a name are no match: a command must not run by accident.
        assert_eq!(matches("th").iter().map(|a| a.name).collect::<Vec<_>>()[0], "theme");
        assert!(!matches("th").iter().any(|a| a.name == "faster"));
        assert_eq!(matches("").len(), ACTIONS.len());
        assert!(matches("xyzzy").is_empty());
    }
}
