//! `etcdtop config show|path`.

use color_eyre::Result;
use color_eyre::eyre::eyre;
use serde::Serialize;

use super::args::{Cli, ConfigCommand};
use super::connect::{output, print, print_json, settings};
use super::exit::Exit;
use super::table::table;
use crate::app::Keymap;
use crate::config::{OutputFormat, Row, default_path};
use crate::model::text::printable;

#[derive(Serialize)]
struct Shown<'a> {
    config_file: Option<String>,
    context: Option<&'a str>,
    settings: &'a [Row],
    warnings: &'a [String],
}

pub(super) fn run(cli: &Cli, command: &ConfigCommand) -> Result<Exit> {
    match command {
        ConfigCommand::Path => {
            let named = cli.global.config.clone();
            let env = std::env::var_os("ETCDTOP_CONFIG").filter(|p| !p.is_empty()).map(Into::into);
            let path = named.or(env).or_else(|| default_path(&|name| std::env::var(name).ok())).ok_or_else(
                || eyre!("no place for a config file: neither XDG_CONFIG_HOME nor HOME is set; use --config"),
            )?;
            print(&format!("{}\n", path.display()))?;
        }
        ConfigCommand::Show => show(cli)?,
    }
    Ok(Exit::Done)
}

fn show(cli: &Cli) -> Result<()> {
    let settings = settings(cli)?;
    let bindings = settings.keys.iter().map(|k| (k.action.as_str(), k.keys.as_slice(), k.line));
    Keymap::with(bindings)?;
    let file = settings.config_file.as_ref().map(|p| p.display().to_string());
    let context = settings.context.as_ref().map(|c| c.value.as_str());
    if output(&settings) != OutputFormat::Table {
        return print_json(&Shown {
            config_file: file,
            context,
            settings: &settings.rows,
            warnings: &settings.warnings,
        });
    }
    let rows: Vec<_> = settings
        .rows
        .iter()
        .map(|r| {
            let value = r.value.as_deref().map_or_else(|| "-".into(), |v| printable(v).into_owned());
            vec![r.setting.into(), value, r.origin.to_string()]
        })
        .collect();
    let mut out = table(&["SETTING", "VALUE", "FROM"], &rows, &[]);
    out.push_str(&format!(
        "\nconfig file  {}\ncontext      {}\n",
        file.as_deref().unwrap_or("none"),
        settings.context.as_ref().map_or_else(|| "none".into(), |c| format!("{} ({})", c.value, c.origin))
    ));
    for binding in &settings.keys {
        let keys = binding.keys.join(" ");
        out.push_str(&format!(
            "key          {} = {keys} (line {} of the config file)\n",
            binding.action, binding.line
        ));
    }
    for warning in &settings.warnings {
        out.push_str(&format!("warning      {warning}\n"));
    }
    print(&out)
}
