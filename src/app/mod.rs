//! The dashboard's state and how it changes. No I/O, no widgets.

pub mod keymap;
pub mod state;

pub use state::State;
