//! The environment as a source of configuration: from a variable's name to a key's path.

use toml::{Table, Value};

use super::error::ConfigError;

/// What our variables begin with.
const PREFIX: &str = "MEGANEURA_";

/// The variable that names the configuration file; no key.
pub(super) const FILE: &str = "MEGANEURA_CONFIG";

/// One of our variables.
#[derive(Debug)]
pub(super) struct Variable {
    name: String,
    path: Vec<String>,
    text: String,
}

/// The variables of this process that are keys of a configuration, in the order of their names.
pub(super) fn of_process() -> Result<Vec<Variable>, ConfigError> {
    let ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    let mut variables = Vec::new();
    for (name, text) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        let name = name.to_string_lossy().into_owned();
        let text = text.into_string().map_err(|_| ConfigError::Environment {
            variable: name.clone(),
            reason: "the value is not UTF-8".to_owned(),
        })?;
        variables.extend(Variable::new(&name, &text));
    }
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(variables)
}

impl Variable {
    /// The variable, if it is a key of ours.
    pub(super) fn new(name: &str, text: &str) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?;
        if name == FILE || key.is_empty() || made_by_kubernetes(key) {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            path: key.split("__").map(str::to_ascii_lowercase).collect(),
            text: text.to_owned(),
        })
    }

    /// The variable as a table that holds the one key; `defaults` tells the type of its value.
    pub(super) fn table(&self, defaults: &Table) -> Table {
        let default = self.default_in(defaults);
        let mut path = self.path.iter().rev();
        let mut table = Table::new();
        if let Some(key) = path.next() {
            table.insert(key.clone(), typed(&self.text, default));
        }
        for section in path {
            table = Table::from_iter([(section.clone(), Value::Table(table))]);
        }
        table
    }

    /// The error that this variable causes.
    pub(super) fn explain(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError::Environment { variable: self.name.clone(), reason: error.message().to_owned() }
    }

    fn default_in<'a>(&self, defaults: &'a Table) -> Option<&'a Value> {
        let (key, sections) = self.path.split_last()?;
        let section = sections
            .iter()
            .try_fold(defaults, |table, section| table.get(section).and_then(Value::as_table));
        section?.get(key)
    }
}

/// The text as a value of the default's type.
fn typed(text: &str, default: Option<&Value>) -> Value {
    if matches!(default, Some(Value::String(_))) {
        return Value::String(text.to_owned());
    }
    match (as_toml(text), default) {
        (Some(Value::Array(list)), _) => Value::Array(list),
        (_, Some(Value::Array(_))) => listed(text),
        (Some(value), _) => value,
        (None, _) => Value::String(text.to_owned()),
    }
}

fn as_toml(text: &str) -> Option<Value> {
    // One line only, or the text could go on with keys of its own.
    let one_line = !text.contains(['\n', '\r']);
    let table: Option<Table> = one_line.then(|| format!("v = {text}").parse().ok())?;
    table?.remove("v")
}

fn listed(text: &str) -> Value {
    let items = text.split(',').map(str::trim);
    let strings = items.filter(|item| !item.is_empty());
    Value::Array(strings.map(|item| Value::String(item.to_owned())).collect())
}

/// Whether Kubernetes makes such a name for a service called `meganeura-…`.
fn made_by_kubernetes(key: &str) -> bool {
    let numbered = || {
        let after = key.split("_PORT_").nth(1);
        after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let ends = key.ends_with("_SERVICE_HOST") || key.ends_with("_PORT");
    !key.contains("__") && (ends || key.contains("_SERVICE_PORT") || numbered())
}
