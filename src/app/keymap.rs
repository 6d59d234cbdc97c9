//! One table drives keys, footer, help, palette and docs.

/// Keys and what they do.
#[derive(Debug, Default)]
pub struct Keymap {}
