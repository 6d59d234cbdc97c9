//! The only user of crossterm.
