//! The layers, from the strongest to the weakest, and how one value is made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks::{check_transport, credentials, without_password, world_readable};
use super::error::ConfigError;
use super::file::{ConfigFile, Values, default_path};
use super::host::Host;
use super::settings::{ColorChoice, HangUp, Origin, OutputFormat, Row, Secret, Settings, Sourced, ThemeName};
use super::values;
use crate::model::Endpoint;

/// One setting: its name and where it may stand.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // a table of independent properties
pub struct Setting {
    /// Its name in the file; the flag has `-` for `_`, the environment is upper case after `ETCDTOP_`.
    pub name: &'static str,
    /// etcdctl knows it: `ETCDCTL_...` counts too.
    pub etcdctl: bool,
    /// May stand at the top of the file.
    pub in_file: bool,
    /// May stand in a context.
    pub in_context: bool,
    /// Takes several values.
    pub is_list: bool,
    /// Is never shown.
    pub is_secret: bool,
}

const fn setting(name: &'static str) -> Setting {
    Setting { name, etcdctl: false, in_file: true, in_context: true, is_list: false, is_secret: false }
}

const fn of_etcdctl(name: &'static str) -> Setting {
    Setting { etcdctl: true, ..setting(name) }
}

const fn global(name: &'static str) -> Setting {
    Setting { in_context: false, ..setting(name) }
}

/// Every setting.
pub static SETTINGS: &[Setting] = &[
    Setting { is_list: true, ..of_etcdctl("endpoints") },
    of_etcdctl("discovery_srv"),
    of_etcdctl("discovery_srv_name"),
    of_etcdctl("cacert"),
    of_etcdctl("cert"),
    of_etcdctl("key"),
    setting("server_name"),
    of_etcdctl("insecure_transport"),
    of_etcdctl("insecure_skip_tls_verify"),
    of_etcdctl("user"),
    Setting { in_file: false, in_context: false, is_secret: true, ..of_etcdctl("password") },
    setting("password_file"),
    of_etcdctl("dial_timeout"),
    of_etcdctl("command_timeout"),
    of_etcdctl("keepalive_time"),
    of_etcdctl("keepalive_timeout"),
    setting("metrics_url"),
    setting("metrics_interval"),
    setting("read_only"),
    setting("snapshot_dir"),
    setting("on_hangup"),
    setting("proof_prefix"),
    setting("interval"),
    setting("theme"),
    global("color"),
    global("ascii"),
    global("log_file"),
    global("output"),
];

/// What was given as flags, by setting name, as text.
pub type Flags = BTreeMap<&'static str, String>;

/// Everything that settings are made from.
pub struct Inputs<'a> {
    /// Flags.
    pub flags: Flags,
    /// `--context`.
    pub context: Option<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// This host.
    pub host: Host,
}

/// One value as text with where it came from.
pub(super) type Found = (String, Origin);

pub(super) struct Layers<'a> {
    inputs: &'a Inputs<'a>,
    file: Option<Arc<ConfigFile>>,
    context: Option<(String, Origin)>,
    host: BTreeMap<&'static str, Found>,
    rows: Vec<Row>,
}

/// Makes the settings.
///
/// # Errors
/// The first value that cannot be used, with its origin.
pub fn load(inputs: &Inputs<'_>) -> Result<Settings, ConfigError> {
    let mut layers = Layers::new(inputs, read_file(inputs)?.map(Arc::new));
    layers.choose_context()?;
    layers.resolve()
}

/// The file that was named, and not just looked for.
fn named_file(inputs: &Inputs<'_>) -> Option<PathBuf> {
    let in_env = || (inputs.env)("ETCDTOP_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from);
    inputs.config.clone().or_else(in_env)
}

/// Where the file is looked for.
pub(super) fn place_of_file(inputs: &Inputs<'_>) -> Option<PathBuf> {
    named_file(inputs).or_else(|| default_path(inputs.env))
}

pub(super) fn read_file(inputs: &Inputs<'_>) -> Result<Option<ConfigFile>, ConfigError> {
    let named = named_file(inputs);
    let Some(path) = place_of_file(inputs) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => ConfigFile::parse(&path, &text).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(e) => {
            let remedy = match e.kind() {
                std::io::ErrorKind::NotFound => "name one that exists, or leave --config out",
                std::io::ErrorKind::PermissionDenied => "make it readable for this user",
                std::io::ErrorKind::InvalidData => "it must be text in UTF-8",
                _ => "name another one with --config",
            };
            Err(ConfigError::Unreadable { path, reason: format!("{e}; {remedy}") })
        }
    }
}

impl<'a> Layers<'a> {
    pub(super) const fn new(inputs: &'a Inputs<'a>, file: Option<Arc<ConfigFile>>) -> Self {
        Self { inputs, file, context: None, host: BTreeMap::new(), rows: Vec::new() }
    }

    /// With this context of the file.
    pub(super) fn with_context(mut self, name: &str, origin: Origin) -> Self {
        self.context = Some((name.to_owned(), origin));
        self
    }

    /// The settings; where nobody names endpoints, with what is found on this host.
    pub(super) fn resolve(mut self) -> Result<Settings, ConfigError> {
        let mut warnings = Vec::new();
        if self.find("endpoints").is_none() && self.find("discovery_srv").is_none() {
            let found = self.inputs.host.find();
            warnings.extend(found.unusable.iter().cloned());
            self.host = found.values;
        }
        self.settings(warnings)
    }

    fn choose_context(&mut self) -> Result<(), ConfigError> {
        let env = |name: &str| (self.inputs.env)(name).filter(|v| !v.is_empty());
        let chosen = self
            .inputs
            .context
            .clone()
            .map(|c| (c, Origin::Flag("--context".into())))
            .or_else(|| env("ETCDTOP_CONTEXT").map(|c| (c, Origin::Env("ETCDTOP_CONTEXT".into()))))
            .or_else(|| {
                let (name, line) = self.file.as_ref()?.current_context.clone()?;
                Some((name, Origin::File { line }))
            });
        if let Some((name, _)) = &chosen {
            let known = self.file.as_ref().map(|f| &f.contexts);
            if !known.is_some_and(|k| k.contains_key(name)) {
                return Err(ConfigError::UnknownContext {
                    name: name.clone(),
                    path: self
                        .file
                        .as_ref()
                        .map(|f| f.path.clone())
                        .or_else(|| default_path(self.inputs.env))
                        .unwrap_or_default(),
                    known: known.map(|k| k.keys().cloned().collect()).unwrap_or_default(),
                });
            }
        }
        self.context = chosen;
        Ok(())
    }

    /// The strongest layer's value: flag, `ETCDTOP_*`, `ETCDCTL_*`, context, file, this host.
    pub(super) fn find(&self, name: &'static str) -> Option<Found> {
        if let Some(text) = self.inputs.flags.get(name) {
            return Some((text.clone(), Origin::Flag(format!("--{}", name.replace('_', "-")))));
        }
        let setting = SETTINGS.iter().find(|s| s.name == name)?;
        let prefixes: &[&str] = if setting.etcdctl { &["ETCDTOP_", "ETCDCTL_"] } else { &["ETCDTOP_"] };
        for prefix in prefixes {
            let variable = format!("{prefix}{}", name.to_uppercase());
            if let Some(text) = (self.inputs.env)(&variable).filter(|v| !v.is_empty()) {
                return Some((text, Origin::Env(variable)));
            }
        }
        self.find_in_file(name).or_else(|| self.host.get(name).cloned())
    }

    /// The value of the context, or else of the top of the file.
    fn find_in_file(&self, name: &'static str) -> Option<Found> {
        let from = |values: &Values| values.get(name).cloned();
        if let (Some(file), Some((context, _))) = (&self.file, &self.context)
            && let Some((text, line)) = file.contexts.get(context).and_then(from)
        {
            return Some((text, Origin::Context { name: context.clone(), line }));
        }
        let (text, line) = self.file.as_ref().and_then(|f| from(&f.top))?;
        Some((text, Origin::File { line }))
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Sourced<T>>, ConfigError> {
        let Some((text, origin)) = self.find(name) else {
            self.rows.push(Row { setting: name, value: None, origin: Origin::Default });
            return Ok(None);
        };
        let value = read(&text).map_err(|reason| ConfigError::Value {
            setting: name,
            value: without_password(&text).into_owned(),
            origin: origin.clone(),
            reason,
        })?;
        self.rows.push(Row { setting: name, value: Some(text), origin: origin.clone() });
        Ok(Some(Sourced { value, origin }))
    }

    fn value<T>(
        &mut self,
        name: &'static str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, ConfigError> {
        if let Some(found) = self.optional(name, &read)? {
            return Ok(found);
        }
        if let Some(row) = self.rows.last_mut() {
            row.value = Some(default.to_owned());
        }
        let value = read(default).map_err(|reason| ConfigError::Value {
            setting: name,
            value: default.to_owned(),
            origin: Origin::Default,
            reason,
        })?;
        Ok(Sourced { value, origin: Origin::Default })
    }

    /// A file that must be readable. In the config file it is relative to that file's folder.
    fn path(
        &mut self,
        name: &'static str,
        must_exist: bool,
    ) -> Result<Option<Sourced<PathBuf>>, ConfigError> {
        let base = self.file.as_ref().and_then(|f| f.path.parent().map(Path::to_owned));
        let home = (self.inputs.env)("HOME");
        let Some(found) = self.optional(name, |text| {
            if text.is_empty() { Err("it is empty".into()) } else { Ok(PathBuf::from(text)) }
        })?
        else {
            return Ok(None);
        };
        let mut path = found.value;
        if let (Ok(below), Some(home)) = (path.strip_prefix("~"), home) {
            path = Path::new(&home).join(below);
        } else if let (true, Some(base)) =
            (matches!(found.origin, Origin::File { .. } | Origin::Context { .. }), base)
        {
            path = base.join(path);
        }
        if must_exist && let Err(e) = std::fs::File::open(&path) {
            let reason = match e.kind() {
                std::io::ErrorKind::NotFound => "no such file".to_owned(),
                std::io::ErrorKind::PermissionDenied => {
                    "permission denied: run as its owner or root, or copy it".to_owned()
                }
                _ => e.to_string(),
            };
            return Err(ConfigError::File { setting: name, path, origin: found.origin, reason });
        }
        Ok(Some(Sourced { value: path, origin: found.origin }))
    }

    /// A context or file that is read-only stays so whatever the environment says: only the flag lifts it.
    fn read_only(&mut self) -> Result<Sourced<bool>, ConfigError> {
        let found = self.value("read_only", "false", values::switch)?;
        if found.value || !matches!(found.origin, Origin::Env(_)) {
            return Ok(found);
        }
        let Some((text, origin)) =
            self.find_in_file("read_only").filter(|(t, _)| values::switch(t) == Ok(true))
        else {
            return Ok(found);
        };
        if let Some(row) = self.rows.iter_mut().find(|r| r.setting == "read_only") {
            (row.value, row.origin) = (Some(text), origin.clone());
        }
        Ok(Sourced { value: true, origin })
    }

    /// A locale that says it knows no UTF-8 gets no glyph beyond ASCII; one that says nothing gets them.
    fn ascii_of_the_locale(&mut self) -> Sourced<bool> {
        let said = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
            let value = (self.inputs.env)(name).filter(|v| !v.is_empty())?;
            Some((name, value.to_lowercase().replace('-', "")))
        });
        let Some((name, _)) = said.filter(|(_, locale)| !locale.contains("utf8")) else {
            return Sourced { value: false, origin: Origin::Default };
        };
        let origin = Origin::Env(name.to_owned());
        if let Some(row) = self.rows.iter_mut().find(|r| r.setting == "ascii") {
            (row.value, row.origin) = (Some("true".into()), origin.clone());
        }
        Sourced { value: true, origin }
    }

    pub(super) fn settings(mut self, mut warnings: Vec<String>) -> Result<Settings, ConfigError> {
        let text = |t: &str| if t.is_empty() { Err("it is empty".to_owned()) } else { Ok(t.to_owned()) };
        let discovery_srv = self.optional("discovery_srv", text)?;
        // As in etcdctl, discovery beats endpoints; but not those of a stronger layer.
        let discovers = discovery_srv.as_ref().is_some_and(|d| {
            self.find("endpoints").is_none_or(|(_, endpoints)| d.origin.rank() <= endpoints.rank())
        });
        let endpoints = if discovers {
            self.rows.push(Row { setting: "endpoints", value: None, origin: Origin::Default });
            Sourced { value: Vec::new(), origin: Origin::Default }
        } else {
            self.value("endpoints", "127.0.0.1:2379", |t| match Endpoint::parse_list(t) {
                Ok(list) if list.is_empty() => Err("no endpoint in it".into()),
                Ok(list) => Ok(list),
                // The text is named already where it is all there is.
                Err(e) if e.text == t.trim() => Err(e.advice()),
                Err(e) => Err(e.to_string()),
            })?
        };
        let (cacert, cert, key) =
            (self.path("cacert", true)?, self.path("cert", true)?, self.path("key", true)?);
        let user = self.optional("user", text)?;
        let password = self.optional("password", |t| Ok(Secret::new(t)))?;
        let password_file = self.path("password_file", true)?;
        let (user, password) = credentials(user, password, password_file.as_ref())?;
        for file in [&key, &password_file].into_iter().flatten() {
            warnings.extend(world_readable(&file.value));
        }
        let ascii = match self.value("ascii", "false", values::switch)? {
            Sourced { origin: Origin::Default, .. } => self.ascii_of_the_locale(),
            said => said,
        };
        let mut settings = Settings {
            context: self.context.clone().map(|(value, origin)| Sourced { value, origin }),
            config_file: self.file.as_ref().map(|f| f.path.clone()),
            endpoints,
            discovery_srv,
            discovery_srv_name: self.optional("discovery_srv_name", text)?,
            cacert,
            cert,
            key,
            server_name: self.optional("server_name", text)?,
            insecure_transport: self.value("insecure_transport", "true", values::switch)?,
            insecure_skip_tls_verify: self.value("insecure_skip_tls_verify", "false", values::switch)?,
            user,
            password,
            dial_timeout: self.value("dial_timeout", "2s", values::positive)?,
            command_timeout: self.value("command_timeout", "5s", values::positive)?,
            keepalive_time: self.value("keepalive_time", "10s", values::positive)?,
            keepalive_timeout: self.value("keepalive_timeout", "6s", values::positive)?,
            metrics_url: self.optional("metrics_url", |t| {
                match Endpoint::parse(&t.replace('*', "localhost")) {
                    Ok(_) => Ok(t.to_owned()),
                    Err(e) => Err(e.reason),
                }
            })?,
            metrics_interval: self.value("metrics_interval", "5s", values::metrics_interval)?,
            read_only: self.read_only()?,
            interval: self.value("interval", "1s", values::interval)?,
            theme: self.value("theme", "dark", theme)?,
            color: self.value("color", "auto", color)?,
            ascii,
            log_file: self.path("log_file", false)?,
            snapshot_dir: self.path("snapshot_dir", false)?,
            on_hangup: self.value("on_hangup", "step", hang_up)?,
            proof_prefix: self.value("proof_prefix", "etcdtop/", text)?,
            output: self.optional("output", output)?,
            keys: self.file.as_ref().map(|f| f.keys.clone()).unwrap_or_default(),
            has_contexts: self.file.as_ref().is_some_and(|f| !f.contexts.is_empty()),
            warnings,
            rows: Vec::new(),
        };
        check_transport(&settings)?;
        for row in &mut self.rows {
            if SETTINGS.iter().any(|s| s.name == row.setting && s.is_secret) && row.value.is_some() {
                row.value = Some("***".into());
            }
            if row.setting == "user" {
                // What follows a colon was most likely meant as a password.
                let name = |u: &Sourced<String>| match u.value.split_once(':') {
                    Some((name, _)) => format!("{name}:***"),
                    None => u.value.clone(),
                };
                row.value = settings.user.as_ref().map(name);
            }
            // From user:password, or from the file.
            if let ("password", None, Some(password)) = (row.setting, &row.value, &settings.password) {
                (row.value, row.origin) = (Some("***".into()), password.origin.clone());
            }
        }
        settings.rows = self.rows;
        Ok(settings)
    }
}

fn theme(text: &str) -> Result<ThemeName, String> {
    match text {
        "dark" => Ok(ThemeName::Dark),
        "light" => Ok(ThemeName::Light),
        "mono" => Ok(ThemeName::Mono),
        "colorblind" => Ok(ThemeName::Colorblind),
        _ => Err("must be dark, light, mono or colorblind".into()),
    }
}

fn color(text: &str) -> Result<ColorChoice, String> {
    match text {
        "auto" => Ok(ColorChoice::Auto),
        "always" => Ok(ColorChoice::Always),
        "never" => Ok(ColorChoice::Never),
        _ => Err("must be auto, always or never".into()),
    }
}

fn hang_up(text: &str) -> Result<HangUp, String> {
    match text {
        "step" => Ok(HangUp::Step),
        "finish" => Ok(HangUp::Finish),
        _ => Err("must be step or finish".into()),
    }
}

fn output(text: &str) -> Result<OutputFormat, String> {
    match text {
        "table" | "simple" => Ok(OutputFormat::Table),
        "json" => Ok(OutputFormat::Json),
        "jsonl" => Ok(OutputFormat::Jsonl),
        _ => Err("must be table, json or jsonl".into()),
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
