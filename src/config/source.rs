//! The layers of configuration: file, environment, flags; each value with its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::keys;
use super::origin::Origin;
use super::secrets;

/// Values by dotted path; a later layer overwrites an earlier one.
#[derive(Debug, Default, Clone)]
pub struct Layers {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Layers {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value set for `path`, if any layer sets it.
    pub fn get(&self, path: &str) -> Option<(&str, &Origin)> {
        self.values.get(path).map(|(text, origin)| (text.as_str(), origin))
    }

    /// Sets one value, refusing a key that does not exist. A secret's key with `_file` names the file that holds it.
    /// An empty value takes the key back to its default, whatever an earlier layer says.
    pub fn set(&mut self, path: &str, text: String, origin: Origin) -> Result<(), ConfigError> {
        if let Some(key) = keys::find_file(path) {
            let (secret, origin) = secrets::read(Path::new(&text), &origin)?;
            return self.set(key.path, secret, origin);
        }
        let Some(key) = keys::find(path) else {
            let hint = keys::nearest(path).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(ConfigError(format!("unknown configuration key `{path}` ({origin}){hint}")));
        };
        if text.is_empty() {
            self.values.remove(key.path);
            return Ok(());
        }
        match self.values.insert(key.path, (text, origin.clone())) {
            Some((_, before)) if before.is_beside(&origin) => Err(secrets::twice(key.path, &before, &origin)),
            _ => Ok(()),
        }
    }

    /// Reads a TOML file; false if it is not there, which only one that is not `required` may be.
    pub fn file(&mut self, path: &Path, required: bool) -> Result<bool, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(false),
            Err(error) => return Err(ConfigError(format!("configuration file {}: {error}", path.display()))),
        };
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            ConfigError(format!("{} line {line}: {}", path.display(), error.message()))
        })?;
        let mut found = Vec::new();
        flatten(table.get_ref(), "", &mut found);
        for (dotted, value) in found {
            let line = line_of(value.span().start);
            let origin = Origin::File { path: path.to_owned(), line };
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                // What is set in it is read one by one, so that this one is empty.
                DeValue::Table(_) if keys::KEYS.iter().any(|key| key.path.starts_with(&format!("{dotted}."))) => {
                    continue;
                }
                DeValue::Table(_) => {
                    return Err(ConfigError(format!("unknown configuration table `{dotted}` ({origin})")));
                }
                _ => {
                    return Err(ConfigError(format!("`{dotted}` ({origin}): must be a string, a number or a boolean")));
                }
            };
            self.set(&dotted, text, origin)?;
        }
        Ok(true)
    }

    /// Takes the variables of known keys; returns the names of `TIDEGATE_` variables that mean nothing, to be warned of.
    pub fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Vec<String>, ConfigError> {
        let variables: BTreeMap<String, String> = variables.collect();
        let get = |name: &str| variables.get(name).cloned();
        // Read by the command line itself, not configuration keys.
        let mut known: BTreeSet<String> =
            ["TIDEGATE_CONFIG", "TIDEGATE_KEY", "TIDEGATE_KEY_FILE", "TIDEGATE_URL"].map(Into::into).into();
        for key in keys::KEYS.iter() {
            let name = key.variable();
            if key.secret {
                if let Some((secret, origin)) = secrets::of_environment(get, &name, key.path)? {
                    self.set(key.path, secret, origin)?;
                }
                known.insert(format!("{name}_FILE"));
            } else if let Some(text) = get(&name) {
                self.set(key.path, text, Origin::Variable(name.clone()))?;
            }
            known.insert(name);
        }
        let mut unknown = Vec::new();
        for name in variables.into_keys().filter(|name| name.starts_with("TIDEGATE_") && !known.contains(name)) {
            match keys::nearest_variable(&name) {
                // A mistyped TIDEGATE_DATABASE_URL would put data into another database than was meant.
                Some(near) => return Err(ConfigError(format!("unknown variable {name}; did you mean {near}?"))),
                None => unknown.push(name),
            }
        }
        Ok(unknown)
    }
}

fn flatten<'a, 'b>(table: &'a DeTable<'b>, prefix: &str, into: &mut Vec<(String, &'a Spanned<DeValue<'b>>)>) {
    for (name, value) in table.iter() {
        let name = name.get_ref();
        let dotted = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match value.get_ref() {
            DeValue::Table(inner) if inner.iter().next().is_some() => flatten(inner, &dotted, into),
            _ => into.push((dotted, value)),
        }
    }
}
