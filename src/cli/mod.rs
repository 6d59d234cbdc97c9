//! Command line types and one file per command.
