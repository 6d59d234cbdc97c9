//! What settings mean together: user and password, certificate and key, what may be read by others.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::settings::{Secret, Settings, Sourced};
use crate::model::endpoint::Transport;

pub(super) type Credentials = (Option<Sourced<String>>, Option<Sourced<Secret>>);

/// `--user name:password` as etcdctl takes it; a password of its own wins over that, and over the file.
pub(super) fn credentials(
    user: Option<Sourced<String>>,
    password: Option<Sourced<Secret>>,
    password_file: Option<&Sourced<PathBuf>>,
) -> Result<Credentials, ConfigError> {
    let Some(user) = user else {
        if let Some(password) = password {
            return Err(ConfigError::Contradiction(format!(
                "a password ({}) without a user: add --user",
                password.origin
            )));
        }
        return Ok((None, None));
    };
    // With a password of its own the whole text is the name, colons and all. A file of a stronger layer beats it.
    let stronger = |p: &Sourced<Secret>| password_file.is_none_or(|f| p.origin.rank() <= f.origin.rank());
    if password.as_ref().is_some_and(stronger) {
        return Ok((Some(user), password));
    }
    let inline_first = password_file.is_none_or(|f| user.origin.rank() <= f.origin.rank());
    if let Some((name, inline)) = user.value.split_once(':').filter(|_| inline_first) {
        let password = Sourced { value: Secret::new(inline), origin: user.origin.clone() };
        return Ok((Some(Sourced { value: name.to_owned(), origin: user.origin }), Some(password)));
    }
    let Some(file) = password_file else { return Ok((Some(user), None)) };
    let text = std::fs::read_to_string(&file.value).map_err(|e| ConfigError::File {
        setting: "password_file",
        path: file.value.clone(),
        origin: file.origin.clone(),
        reason: e.to_string(),
    })?;
    let password =
        Sourced { value: Secret::new(text.trim_end_matches(['\r', '\n'])), origin: file.origin.clone() };
    Ok((Some(user), Some(password)))
}

pub(super) fn check_transport(settings: &Settings) -> Result<(), ConfigError> {
    let plain = settings.endpoints.value.iter().find(|e| e.transport() == Transport::Plain);
    if let (false, Some(plain)) = (settings.insecure_transport.value, plain) {
        return Err(ConfigError::Contradiction(format!(
            "endpoint {plain} is plain http, which insecure_transport=false ({}) forbids: write https://",
            settings.insecure_transport.origin
        )));
    }
    for (given, missing, what, other) in [
        (&settings.cert, &settings.key, "client certificate", "--key"),
        (&settings.key, &settings.cert, "client key", "--cert"),
    ] {
        if let (Some(given), None) = (given, missing) {
            return Err(ConfigError::Contradiction(format!(
                "the {what} {} ({}) stands alone: it takes a certificate and its key, add {other}",
                given.value.display(),
                given.origin
            )));
        }
    }
    Ok(())
}

/// A url without the `user:password@` that some people write into it.
pub(super) fn without_password(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    match rest.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://***@{host}")),
        None => Cow::Borrowed(text),
    }
}

/// A finding about a file that everybody may read.
pub(super) fn world_readable(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!(
            "{} can be read by everybody on this host (mode {:o}): chmod 600 it",
            path.display(),
            mode & 0o777
        )
    })
}
