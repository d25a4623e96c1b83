//! The command line: what can be said, and how it becomes a configuration and a command.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use uuid::Uuid;

use crate::commands::load::LoadArgs;
use crate::config::{Config, ConfigError, Layers, Origin, parse_bytes};
use crate::limits::{ORG_RETENTION_DAYS_MAX, RATE_BURST_S_MAX, RATE_PER_SECOND_MAX};
use crate::tenancy::Scopes;

/// High-throughput, exactly-once time-series event ingestor for TimescaleDB and PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes; they win over the environment and the file.
#[derive(Debug, Args)]
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
    /// auto, timescale or postgres
    #[arg(long, global = true)]
    engine: Option<String>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Any configuration key, such as --set batch.rows=2000; repeatable
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP; with no database configured, on a private PostgreSQL
    Serve,
    /// Bring the database's schema up to date
    Migrate {
        /// Only say whether it is; exit 1 if not
        #[arg(long)]
        check: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the database and this machine, and say what to do
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send generated events, or a file, and report
    Load(LoadArgs),
    /// A throwaway instance with generated telemetry, and what it stored
    Demo {
        /// How long to send
        #[arg(long, default_value = "20s", value_parser = crate::load::parse_duration)]
        duration: std::time::Duration,
    },
    /// Manage API keys
    Keys {
        /// What to do.
        #[command(subcommand)]
        action: KeysAction,
    },
    /// Manage organizations
    Orgs {
        /// What to do.
        #[command(subcommand)]
        action: OrgsAction,
    },
    /// Compression, retention and the jobs: how they stand, or run what is due now
    Lifecycle {
        /// What to do.
        #[command(subcommand)]
        action: LifecycleAction,
    },
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `tidegate keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Make a key; its text is printed once
    Create {
        /// The organization, by slug, name or id
        #[arg(long)]
        org: String,
        /// What it may do: ingest, read, consume, admin, operator
        #[arg(long, default_value = "ingest,read", value_parser = Scopes::parse)]
        scopes: Scopes,
        /// What it is for
        #[arg(long, default_value = "")]
        label: String,
        /// When it ends by itself (RFC 3339)
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
        /// Most events a second in the long run, on each node [default: no limit]
        #[arg(long, value_name = "N", value_parser = rate)]
        events_per_second: Option<u64>,
        /// Most bytes of bodies a second, after decompression, such as 1MiB [default: no limit]
        #[arg(long, value_name = "SIZE", value_parser = size_rate)]
        bytes_per_second: Option<u64>,
        /// How much of either may come at once, in time at that rate [default: 10s]
        #[arg(long, value_name = "DURATION", value_parser = burst)]
        burst: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys
    List {
        /// Only of this organization
        #[arg(long)]
        org: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: refused everywhere within 5 s
    Revoke {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what a key may send; takes effect within 5 s
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Limit {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// Most events a second in the long run, on each node; none: no limit
        #[arg(long, value_name = "N|none", group = "change", value_parser = or_none(rate))]
        events_per_second: Option<OrNone<u64>>,
        /// Most bytes of bodies a second, after decompression, such as 1MiB; none: no limit
        #[arg(long, value_name = "SIZE|none", group = "change", value_parser = or_none(size_rate))]
        bytes_per_second: Option<OrNone<u64>>,
        /// How much of either may come at once, in time at that rate; none: the default, 10s
        #[arg(long, value_name = "DURATION|none", group = "change", value_parser = or_none(burst))]
        burst: Option<OrNone<u32>>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a successor of a key; the old one ends after the grace
    Rotate {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// How long the old key still works
        #[arg(long, default_value = "24h", value_parser = crate::load::parse_duration)]
        grace: std::time::Duration,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `tidegate lifecycle ...`
#[derive(Debug, Subcommand)]
pub enum LifecycleAction {
    /// Chunks, sizes, ratio, rollups' lag, jobs with their next runs and last errors
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run everything that is due, once, beside a running `serve` too
    Run {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `tidegate orgs ...`
#[derive(Debug, Subcommand)]
pub enum OrgsAction {
    /// Make an organization
    Create {
        /// Its name
        name: String,
        /// Its slug, the tenant of its data [default: derived from the name]
        #[arg(long)]
        slug: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List organizations
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show or change how long an organization's rows are kept
    Retention {
        /// Its slug or name
        name: String,
        /// Whole days, such as 30d; default: as long as retention.events
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        events: Option<OrNone<u32>>,
        /// Whole days, at least 2d; default: as long as retention.metrics
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        metrics: Option<OrNone<u32>>,
        /// Whole days; default: as long as retention.correlations
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        correlations: Option<OrNone<u32>>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deactivate an organization: its keys stop working, its data stay
    Deactivate {
        /// Its slug or name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A key's id: a UUID, also taken out of the key's text.
fn key_id(text: &str) -> Result<Uuid, String> {
    let id = text.strip_prefix("tg_").map_or(text, |rest| rest.split('_').next().unwrap_or_default());
    Uuid::try_parse(id).map_err(|_| "not the id of a key: `tidegate keys list` shows them".to_owned())
}

/// A value, or the word `none`.
#[derive(Debug, Clone, Copy)]
pub struct OrNone<T>(pub Option<T>);

fn or_none<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<OrNone<T>, String> + Clone {
    move |text| {
        if text == "none" {
            return Ok(OrNone(None));
        }
        parse(text).map(|value| OrNone(Some(value))).map_err(|error| format!("{error}; or `none`"))
    }
}

fn rate(text: &str) -> Result<u64, String> {
    let parsed = text.parse().ok().filter(|rate| (1..=RATE_PER_SECOND_MAX).contains(rate));
    parsed.ok_or_else(|| format!("must be a whole number from 1 to {RATE_PER_SECOND_MAX}; to stop a key, revoke it"))
}

fn size_rate(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).map_err(|error| error.0.to_owned())?;
    rate(&bytes.to_string())
}

/// A retention of whole days, or the word `default`.
fn days(text: &str) -> Result<OrNone<u32>, String> {
    if text == "default" {
        return Ok(OrNone(None));
    }
    let what = || format!("must be whole days from 1d to {ORG_RETENTION_DAYS_MAX}d, such as 30d; or `default`");
    let seconds = crate::config::parse_duration(text).map_err(|_| what())?.as_secs();
    let days = u32::try_from(seconds / 86_400).ok().filter(|_| seconds.is_multiple_of(86_400));
    days.filter(|days| (1..=ORG_RETENTION_DAYS_MAX).contains(days)).map(|days| OrNone(Some(days))).ok_or_else(what)
}

/// In whole seconds.
fn burst(text: &str) -> Result<u32, String> {
    let duration = crate::load::parse_duration(text)?;
    let seconds = u32::try_from(duration.as_secs()).ok().filter(|_| duration.subsec_nanos() == 0);
    seconds
        .filter(|seconds| (1..=RATE_BURST_S_MAX).contains(seconds))
        .ok_or_else(|| format!("must be whole seconds, from 1s to {RATE_BURST_S_MAX}s"))
}

impl Settings {
    /// The configuration: file, then environment, then these flags.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut layers = Layers::new();
        let named = self.config.clone().or_else(|| std::env::var_os("TIDEGATE_CONFIG").map(PathBuf::from));
        match &named {
            Some(path) => layers.file(path, true)?,
            None => layers.file(Path::new("tidegate.toml"), false)?,
        }
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
        Config::from_layers(&layers)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
