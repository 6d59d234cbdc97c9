//! The command palette: what is typed against the names of the actions.

use super::keymap::{ACTIONS, Action};

/// The actions that match, best first. An empty text matches all.
#[must_use]
pub fn matches(typed: &str) -> Vec<&'static Action> {
    let needle: Vec<char> =
        typed.trim().to_lowercase().chars().map(|c| if c == ' ' { '_' } else { c }).collect();
    let mut found: Vec<_> = ACTIONS.iter().filter_map(|a| Some((score(a, &needle)?, a))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, a)| a).collect()
}

/// Lower is better: the name's start, a part of the name, its letters in order, a word of the help.
fn score(action: &Action, needle: &[char]) -> Option<usize> {
    let text: String = needle.iter().collect();
    if action.name.starts_with(&text) {
        return Some(0);
    }
    if action.name.contains(&text) {
        return Some(1);
    }
    let mut rest = action.name.chars();
    if needle.iter().all(|c| rest.any(|n| n == *c)) {
        return Some(2);
    }
    action.help.to_lowercase().contains(&text.replace('_', " ")).then_some(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_comes_first() {
        assert_eq!(matches("fre")[0].name, "freeze");
        assert_eq!(matches("poll")[0].name, "poll_now");
        assert_eq!(matches("next view")[0].name, "next_view");
        assert_eq!(matches("ssh")[0].name, "copy");
        assert_eq!(matches("").len(), ACTIONS.len());
        assert!(matches("xyzzy").is_empty());
    }
}
