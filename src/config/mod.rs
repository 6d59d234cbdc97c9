//! Where each setting came from: flag, environment, context, file, this host, default.
