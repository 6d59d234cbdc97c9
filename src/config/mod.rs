//! Where each setting came from: flag, environment, context, file, this host, default.
//!
//! A setting has one name everywhere (`dial_timeout` in the file, `--dial-timeout` as a flag,
//! `ETCDTOP_DIAL_TIMEOUT` and `ETCDCTL_DIAL_TIMEOUT` in the environment). [`load`] gathers every layer as text
//! with its [`Origin`], lets the first one that has a value win, and reads it: an error names the value, where it
//! came from, what is wrong with it and what to write instead.

mod checks;
mod contexts;
mod error;
mod file;
mod host;
mod layers;
mod settings;
mod values;

pub use contexts::{Contexts, load_contexts, names_none};
pub use error::ConfigError;
pub use file::{Rebinding, default_path};
pub use host::{Found, Host};
pub use layers::{Flags, Inputs, SETTINGS, Setting, load};
pub use settings::{ColorChoice, HangUp, Origin, OutputFormat, Row, Secret, Settings, Sourced, ThemeName};
pub use values::{duration as parse_duration, size as parse_size};
