//! Text that somebody else wrote: names, urls and error messages from a cluster. None of it may reach
//! the terminal as it came: an escape sequence in a member name must not be able to clear the screen,
//! and a right-to-left mark must not be able to swap two names.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text from a cluster. [`Display`](fmt::Display) shows it escaped; JSON carries it as it is (JSON has
/// its own escapes); [`raw`](Self::raw) is for comparing and for sending it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignText(String);

impl ForeignText {
    /// Takes text as it came.
    pub fn new(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// The text as it came. Never print this.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Safe to print, see [`printable`].
    #[must_use]
    pub fn shown(&self) -> Cow<'_, str> {
        printable(&self.0)
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown())
    }
}

impl Serialize for ForeignText {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ForeignText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

impl From<&str> for ForeignText {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<String> for ForeignText {
    fn from(raw: String) -> Self {
        Self(raw)
    }
}

/// Escapes what could move the cursor, change colours or reorder text: C0 and C1 controls, bidirectional
/// marks, zero-width and other invisible format characters, line and paragraph separators.
///
/// ```
/// # use etcdtop::model::text::printable;
/// assert_eq!(printable("m1"), "m1");
/// assert_eq!(printable("m1\u{1b}[2J"), "m1\\x1b[2J");
/// assert_eq!(printable("\u{202e}1m"), "\\u{202e}1m");
/// ```
#[must_use]
pub fn printable(raw: &str) -> Cow<'_, str> {
    if raw.chars().all(|c| !is_dangerous(c)) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    for c in raw.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_dangerous(c) && u32::from(c) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if is_dangerous(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character could do more in a terminal than to be seen.
#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_that_moves_a_cursor_gets_through(raw in any::<String>()) {
            let shown = printable(&raw);
            prop_assert!(!shown.chars().any(is_dangerous), "{shown:?}");
        }
    }

    #[test]
    fn c1_controls_are_escaped_too() {
        // 0x9b is CSI in eight bits: some terminals obey it.
        assert_eq!(printable("a\u{9b}2J"), "a\\x9b2J");
    }

    #[test]
    fn json_keeps_the_original() {
        let name = ForeignText::new("m\u{1b}1");
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"m\\u001b1\"");
        assert_eq!(name.to_string(), "m\\x1b1");
    }
}
