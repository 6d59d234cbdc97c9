//! Every context of the config file, each with the settings that it would have alone.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::ConfigError;
use super::file::ConfigFile;
use super::layers::{Flags, Inputs, Layers, place_of_file, read_file};
use super::settings::{Origin, Settings};

/// The contexts of the config file.
#[derive(Debug)]
pub struct Contexts {
    /// That file.
    pub file: PathBuf,
    /// What holds for all of them together: looks, keys, output, the log. Nothing of a cluster is in it.
    pub common: Settings,
    /// Each with its settings, or why it has none that can be used, in the order of their names.
    pub each: Vec<(String, Result<Settings, ConfigError>)>,
}

/// What holds for all contexts together.
const COMMON: &[&str] = &["interval", "theme", "color", "ascii", "log_file", "output"];

/// What names one cluster: with it every context would be that one.
const ONE_CLUSTER: &[&str] = &["endpoints", "discovery_srv"];

/// Whether flags and the environment name no cluster; what the file says of endpoints is the contexts' own.
///
/// # Errors
/// The flag or the variable that names one.
pub fn names_none(inputs: &Inputs<'_>) -> Result<(), ConfigError> {
    let outside = Layers::new(inputs, None);
    let Some((_, origin)) = ONE_CLUSTER.iter().find_map(|name| outside.find(name)) else { return Ok(()) };
    Err(ConfigError::Contradiction(format!(
        "--all-contexts and {origin}: {origin} names one cluster, and would beat what each context says; leave one of them out"
    )))
}

/// The file, if it holds contexts.
fn find(inputs: &Inputs<'_>) -> Result<Arc<ConfigFile>, ConfigError> {
    let file = read_file(inputs)?;
    let exists = file.is_some();
    file.filter(|f| !f.contexts.is_empty())
        .map(Arc::new)
        .ok_or_else(|| ConfigError::NoContexts { path: place_of_file(inputs), exists })
}

/// Makes the settings of every context. Which one is the current one does not matter.
///
/// # Errors
/// A file that cannot be read or holds no context, or a flag or a variable that names one cluster.
pub fn load_contexts(inputs: &Inputs<'_>) -> Result<Contexts, ConfigError> {
    names_none(inputs)?;
    let file = find(inputs)?;
    let settings = |name: &String| {
        let layers = Layers::new(inputs, Some(Arc::clone(&file)));
        layers.with_context(name, Origin::Flag("--all-contexts".into())).resolve()
    };
    let each = file.contexts.keys().map(|name| (name.clone(), settings(name))).collect();
    Ok(Contexts { common: common(inputs, &file)?, file: file.path.clone(), each })
}

/// The settings without any cluster: a certificate that cannot be read keeps nobody from seeing the other clusters.
fn common(inputs: &Inputs<'_>, file: &ConfigFile) -> Result<Settings, ConfigError> {
    let flags: Flags =
        inputs.flags.iter().filter(|(name, _)| COMMON.contains(name)).map(|(n, v)| (*n, v.clone())).collect();
    let ours = |variable: &str| {
        let name = variable.strip_prefix("ETCDTOP_").or_else(|| variable.strip_prefix("ETCDCTL_"));
        name.is_none_or(|name| COMMON.contains(&name.to_lowercase().as_str()))
    };
    let env = |name: &str| ours(name).then(|| (inputs.env)(name)).flatten();
    let top = file.top.iter().filter(|(name, _)| COMMON.contains(name)).map(|(n, v)| (*n, v.clone()));
    let file = ConfigFile {
        path: file.path.clone(),
        top: top.collect(),
        keys: file.keys.clone(),
        ..ConfigFile::default()
    };
    let inputs =
        Inputs { flags, context: None, config: inputs.config.clone(), env: &env, host: inputs.host.clone() };
    Layers::new(&inputs, Some(Arc::new(file))).settings(Vec::new())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Host;

    fn contexts(
        toml: &str,
        flags: &[(&'static str, &str)],
        env: &[(&str, &str)],
    ) -> Result<Contexts, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, toml).unwrap();
        let env: BTreeMap<_, _> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        load_contexts(&Inputs {
            flags: flags.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            context: None,
            config: Some(path),
            env: &|name| env.get(name).cloned(),
            host: Host::tree("/nonexistent", "h"),
        })
        .map_err(|e| e.to_string())
    }

    const TWO: &str = "current_context = \"gone\"\ntheme = \"light\"\ncommand_timeout = \"9s\"\n\
        [contexts.b]\nendpoints = [\"b:1\"]\ntheme = \"mono\"\n\
        [contexts.a]\nendpoints = [\"a:1\", \"a:2\"]\ncacert = \"/no/such\"\n";

    #[test]
    fn each_context_has_the_settings_that_it_would_have_alone() {
        let found = contexts(TWO, &[("dial_timeout", "7s")], &[("ETCDTOP_KEEPALIVE_TIMEOUT", "3s")]).unwrap();
        let names: Vec<_> = found.each.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        // One that cannot be used takes no other along.
        let a = found.each[0].1.as_ref().unwrap_err().to_string();
        assert!(a.contains("/no/such") && a.contains("context a, line"), "{a}");
        let b = found.each[1].1.as_ref().unwrap();
        assert_eq!((b.cluster_name().as_str(), b.command_timeout.value.as_secs()), ("b", 9));
        assert_eq!((b.dial_timeout.value.as_secs(), b.keepalive_timeout.value.as_secs()), (7, 3));
        // The theme of one of them is not that of all.
        assert_eq!(found.common.theme.value, crate::config::ThemeName::Light);
    }

    #[test]
    fn what_names_one_cluster_contradicts() {
        for (flags, env, named) in [
            (&[("endpoints", "x:1")][..], &[][..], "--endpoints"),
            (&[("discovery_srv", "x")], &[], "--discovery-srv"),
            (&[], &[("ETCDCTL_ENDPOINTS", "x:1")], "ETCDCTL_ENDPOINTS"),
        ] {
            let error = contexts(TWO, flags, env).unwrap_err();
            assert!(error.contains("--all-contexts") && error.contains(named), "{error}");
        }
    }

    #[test]
    fn no_context_says_where_one_is_looked_for() {
        let error = contexts("theme = \"dark\"\n", &[], &[]).unwrap_err();
        assert!(error.contains("/c.toml has no context") && error.contains("[contexts.NAME]"), "{error}");
        let nowhere = load_contexts(&Inputs {
            flags: Flags::new(),
            context: None,
            config: None,
            env: &|name| (name == "XDG_CONFIG_HOME").then(|| "/nonexistent".to_owned()),
            host: Host::tree("/nonexistent", "h"),
        });
        let error = nowhere.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/etcdtop/config.toml"), "{error}");
    }
}
