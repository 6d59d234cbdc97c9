//! The config file: TOML, with named contexts as kubectl has them. Unknown keys are refused with their line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::layers::{SETTINGS, Setting};

/// The version of the file's format.
const VERSION: &str = "1";

/// A key bound anew: `freeze = ["f"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebinding {
    /// The action's name.
    pub action: String,
    /// Its keys, as written.
    pub keys: Vec<String>,
    /// The file's line, from 1.
    pub line: usize,
}

/// Values as text, each with its line.
pub(super) type Values = BTreeMap<&'static str, (String, usize)>;

/// What a config file holds.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) current_context: Option<(String, usize)>,
    pub(super) top: Values,
    pub(super) contexts: BTreeMap<String, Values>,
    pub(super) keys: Vec<Rebinding>,
}

/// `$XDG_CONFIG_HOME/etcdtop/config.toml`, or below `$HOME/.config`. None without a home.
#[must_use]
pub fn default_path(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = env("XDG_CONFIG_HOME")
        .filter(|h| h.starts_with('/'))
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|h| Path::new(&h).join(".config")))?;
    Some(home.join("etcdtop/config.toml"))
}

impl ConfigFile {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader { path, text };
        let root = DeTable::parse(text).map_err(|e| {
            let line = e.span().map_or(1, |span| reader.line(span.start));
            reader.fail(line, e.message().to_owned())
        })?;
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        for (key, value) in root.get_ref() {
            let line = reader.line(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("version", value) => {
                    let found = scalar(value).unwrap_or_default();
                    if found != VERSION {
                        let reason = format!(
                            "format version {found:?} is not known to this etcdtop, which reads {VERSION}"
                        );
                        return Err(reader.fail(line, reason));
                    }
                }
                ("current_context", DeValue::String(name)) => {
                    file.current_context = Some((name.to_string(), line));
                }
                ("contexts", DeValue::Table(contexts)) => {
                    for (name, table) in contexts {
                        let line = reader.line(name.span().start);
                        let Some(table) = table.get_ref().as_table() else {
                            return Err(reader.fail(
                                line,
                                format!("context {:?} must be a table [contexts.NAME]", name.get_ref()),
                            ));
                        };
                        file.contexts
                            .insert(name.get_ref().to_string(), reader.values(table, |s| s.in_context)?);
                    }
                }
                ("keys", DeValue::Table(keys)) => {
                    for (action, bound) in keys {
                        file.keys.push(reader.rebinding(
                            action.get_ref(),
                            bound.get_ref(),
                            reader.line(action.span().start),
                        )?);
                    }
                }
                ("current_context" | "contexts" | "keys", other) => {
                    return Err(
                        reader.fail(line, format!("{} must not be a {}", key.get_ref(), other.type_str()))
                    );
                }
                (name, value) => {
                    let setting = reader.setting(
                        name,
                        line,
                        &["version", "current_context", "contexts", "keys"],
                        |s| s.in_file,
                    )?;
                    file.top.insert(setting.name, (reader.text_of(setting, value, line)?, line));
                }
            }
        }
        Ok(file)
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count()
    }

    fn fail(&self, line: usize, reason: String) -> ConfigError {
        ConfigError::Line { path: self.path.to_owned(), line, reason }
    }

    fn values(&self, table: &DeTable<'_>, allowed: fn(&Setting) -> bool) -> Result<Values, ConfigError> {
        let mut values = Values::new();
        for (key, value) in table {
            let line = self.line(key.span().start);
            let setting = self.setting(key.get_ref(), line, &[], allowed)?;
            values.insert(setting.name, (self.text_of(setting, value.get_ref(), line)?, line));
        }
        Ok(values)
    }

    fn setting(
        &self,
        name: &str,
        line: usize,
        also: &[&'static str],
        allowed: fn(&Setting) -> bool,
    ) -> Result<&'static Setting, ConfigError> {
        if let Some(setting) = SETTINGS.iter().find(|s| s.name == name) {
            if allowed(setting) {
                return Ok(setting);
            }
            let instead = if name == "password" {
                "a password does not belong in a file that gets copied around; use password_file, ETCDTOP_PASSWORD or the prompt"
            } else {
                "it cannot stand here"
            };
            return Err(self.fail(line, format!("{name}: {instead}")));
        }
        let known = SETTINGS.iter().filter(|s| allowed(s)).map(|s| s.name).chain(also.iter().copied());
        let nearest = known.min_by_key(|k| strsim::damerau_levenshtein(k, name)).unwrap_or_default();
        Err(self.fail(line, format!("unknown key {name:?}; did you mean {nearest:?}?")))
    }

    fn text_of(&self, setting: &Setting, value: &DeValue<'_>, line: usize) -> Result<String, ConfigError> {
        let text = match value {
            DeValue::Array(parts) if setting.is_list => {
                let texts: Option<Vec<_>> = parts.iter().map(|p| p.get_ref().as_str()).collect();
                texts.map(|t| t.join(","))
            }
            other => scalar(other),
        };
        text.ok_or_else(|| self.fail(line, format!("{} must not be a {}", setting.name, value.type_str())))
    }

    fn rebinding(&self, action: &str, bound: &DeValue<'_>, line: usize) -> Result<Rebinding, ConfigError> {
        let keys: Option<Vec<_>> = match bound {
            DeValue::String(key) => Some(vec![key.to_string()]),
            DeValue::Array(keys) => keys.iter().map(|k| k.get_ref().as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let keys = keys.ok_or_else(|| {
            self.fail(line, format!("{action}: keys are written \"f\" or [\"f\", \"space\"]"))
        })?;
        Ok(Rebinding { action: action.to_owned(), keys, line })
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(s) => Some(s.to_string()),
        DeValue::Boolean(b) => Some(b.to_string()),
        DeValue::Integer(n) => Some(n.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(Path::new("/c/config.toml"), text)
    }

    #[test]
    fn the_template_that_is_shipped_parses_and_names_every_key() {
        let template = include_str!("../../assets/config.toml");
        parse(template).unwrap();
        // Uncommented, every example in it is valid as well.
        let uncommented: String =
            template.lines().map(|l| l.strip_prefix("#: ").unwrap_or(l)).flat_map(|l| [l, "\n"]).collect();
        parse(&uncommented).unwrap();
        for setting in SETTINGS.iter().filter(|s| s.in_file || s.in_context) {
            assert!(
                template.contains(&format!("#: {} =", setting.name)),
                "{} is not documented",
                setting.name
            );
        }
    }

    #[test]
    fn mistakes_are_named_with_line_and_remedy() {
        for (text, line, words) in [
            ("a = \n", 1, ""),
            ("\nendpoint = \"x\"\n", 2, "did you mean \"endpoints\""),
            ("version = 2\n", 1, "version"),
            ("[contexts.a]\nendpoints = [\"x\"]\nthem = 1\n", 3, "did you mean \"theme\""),
            ("password = \"x\"\n", 1, "password_file"),
            ("interval = 1.5\n", 1, "interval"),
            ("contexts = 3\n", 1, "contexts"),
            ("[keys]\nfreeze = 7\n", 2, "freeze"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("/c/config.toml, line {line}:")), "{text:?}: {error}");
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn lists_and_scalars_become_text() {
        let file =
            parse("endpoints = [\"a:1\", \"b:2\"]\nread_only = true\n[keys]\nfreeze = [\"f\"]\n").unwrap();
        assert_eq!(file.top["endpoints"], ("a:1,b:2".into(), 1));
        assert_eq!(file.top["read_only"], ("true".into(), 2));
        assert_eq!(file.keys, [Rebinding { action: "freeze".into(), keys: vec!["f".into()], line: 4 }]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
