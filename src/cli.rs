//! The command line: flags that every command takes, how they become a configuration, and one command.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use crate::commands::Command;
use crate::config::{Config, ConfigError, Layers, Origin};

const DEFAULT_FILE: &str = "tidegate.toml";

/// High-throughput, exactly-once time-series event ingestor for TimescaleDB and PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, long_version = crate::version::BUILD, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// Where help has them: behind the options of the command itself.
const OF_EVERY_COMMAND: &str = "Configuration, of every command";

/// Flags that every command takes; they win over the environment and the file.
#[derive(Debug, Args)]
#[command(next_help_heading = OF_EVERY_COMMAND)]
pub struct Settings {
    /// Configuration file [default: tidegate.toml, if there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Owner's connection URL; without one an embedded PostgreSQL is used
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Folder of the embedded PostgreSQL and of the spool
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// auto, timescale, postgres or citus
    #[arg(long, global = true)]
    engine: Option<String>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Any configuration key, such as --set batch.rows=2000; repeatable
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Whether the default file was there when it was last read: without it its values would turn into defaults unseen.
    #[arg(skip)]
    file_was_there: Cell<bool>,
}

impl Settings {
    /// The configuration: file, then environment, then these flags.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut layers = Layers::new();
        let named = self.config.clone().or_else(|| std::env::var_os("TIDEGATE_CONFIG").map(PathBuf::from));
        let (path, required) = match &named {
            Some(path) => (path.as_path(), true),
            None => (Path::new(DEFAULT_FILE), self.file_was_there.get()),
        };
        let there = layers.file(path, required)?;
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        for name in layers.environment(variables)? {
            // Before logging is set up, and worth seeing whatever its level.
            eprintln!("warning: the variable {name} is not a configuration key of tidegate and is ignored");
        }
        let flags = [
            ("database_url", &self.database_url, "--database-url"),
            ("data_dir", &self.data_dir, "--data-dir"),
            ("engine", &self.engine, "--engine"),
            ("listen", &self.listen, "--listen"),
        ];
        for (path, value, flag) in flags {
            if let Some(value) = value {
                layers.set(path, value.clone(), Origin::Flag(flag.into()))?;
            }
        }
        for pair in &self.set {
            let (path, value) = pair
                .split_once('=')
                .ok_or_else(|| ConfigError(format!("flag --set: `{pair}` is not of the form key=value")))?;
            layers.set(path, value.to_owned(), Origin::Flag("--set".into()))?;
        }
        let config = Config::from_layers(&layers)?;
        self.file_was_there.set(there);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn help_has_a_command_s_own_options_first() {
        let mut command = super::Cli::command();
        command.build();
        let streams = command.find_subcommand_mut("streams").expect("a command");
        let help = streams.find_subcommand_mut("list").expect("a command").render_help().to_string();
        let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}: {help}"));
        assert!(at("--limit") < at(super::OF_EVERY_COMMAND), "{help}");
        assert!(at("--json") < at(super::OF_EVERY_COMMAND), "{help}");
        assert!(at(super::OF_EVERY_COMMAND) < at("--config"), "{help}");
    }
}
