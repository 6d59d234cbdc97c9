//! `--log-file`: what happened behind the screen, for a bug report. Nothing secret is ever logged.

use std::fs::File;
use std::sync::Mutex;

use color_eyre::Result;
use color_eyre::eyre::Context;
use tracing_subscriber::EnvFilter;

use crate::config::Settings;

/// Starts logging if a file was named. `RUST_LOG` chooses what; etcdtop's own lines from info on without it.
pub(super) fn start(settings: &Settings) -> Result<()> {
    let Some(file) = &settings.log_file else { return Ok(()) };
    let open = File::options().create(true).append(true).open(&file.value);
    let log = open
        .wrap_err_with(|| format!("cannot write the log file {} ({})", file.value.display(), file.origin))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("etcdtop=info"));
    // Somebody else's subscriber (a test's) stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(log))
        .try_init();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), access = settings.access_line(), "started");
    Ok(())
}
