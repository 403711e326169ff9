//! The configuration file beneath the options: flags over environment over file over defaults.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command};
use toml::{Table, Value};

use crate::config::{Config, OPTIONS};

/// Which file.
#[derive(Debug, Clone, Args)]
pub(super) struct FileArgs {
    /// Configuration file: options and their values [default: /etc/meganeura/nydusd.toml, if it is there]
    #[arg(long = "config", id = "file", value_name = "FILE", env = "MEGANEURA_CONFIG")]
    file: Option<PathBuf>,
}

/// What the file says, which `given` may name.
pub(super) fn read(given: &ArgMatches) -> anyhow::Result<Config> {
    let command = given.subcommand().map(|(_, command)| command);
    let named = command.and_then(|c| c.try_get_one::<PathBuf>("file").ok().flatten());
    Ok(telemetry::config::load_file("nydusd", named.map(PathBuf::as_path))?)
}

/// `command`, whose options are by default what `config` says.
pub(super) fn beneath(command: Command, config: &Config) -> anyhow::Result<Command> {
    let options = config.options()?;
    let names: Vec<_> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    Ok(names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let has: Vec<_> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
            let here = options.iter().filter(|(id, _)| has.iter().any(|has| has == id));
            here.fold(command, |command, (id, words)| {
                command.mut_arg(id, |argument| argument.default_values(words.clone()))
            })
        })
    }))
}

/// What `--print-config` and `--check-config` answer, where one of them was given: options as they are
/// understood, of the file, the environment and the command line.
pub(super) fn answer(given: &ArgMatches) -> anyhow::Result<Option<String>> {
    let Some((_, given)) = given.subcommand() else { return Ok(None) };
    let wants = |flag: &str| matches!(given.try_get_one::<bool>(flag), Ok(Some(true)));
    if wants("print_config") {
        let text = toml::to_string_pretty(&understood(given))?;
        return Ok(Some(format!("{}\n", text.trim_end())));
    }
    Ok(wants("check_config").then(|| "the configuration is fine\n".to_owned()))
}

/// The options that may stand in a file, as they would there.
fn understood(given: &ArgMatches) -> Table {
    let mut table = Table::new();
    for (id, (section, key)) in OPTIONS {
        let Ok(Some(words)) = given.try_get_raw(id) else { continue };
        let mut values = words.map(|word| value(&word.to_string_lossy()));
        let value = if id == "ca" { Some(Value::Array(values.collect())) } else { values.next() };
        let within = match section {
            None => Some(&mut table),
            Some(name) => {
                let section = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
                section.as_table_mut()
            }
        };
        if let (Some(within), Some(value)) = (within, value) {
            within.insert(key.to_owned(), value);
        }
    }
    table
}

/// As the environment is read: what is no TOML value is a string.
fn value(word: &str) -> Value {
    word.parse().unwrap_or_else(|_| Value::String(word.to_owned()))
}
