//! `tidegate load`: its arguments and its report. The work is in [`crate::load`].

mod print;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use print::print_report;

use super::instance::interrupted;
use super::output::{Exit, failed, print_json};
use super::server::{NOT_THERE, keys_of_environment, trust, unanswered, usual_url};
use super::values::time;
use crate::app::owner_client;
use crate::config::Config;
use crate::load::{
    ASSETS_DEFAULT, ConservationCheck, Format, ItemKind, LoadError, LoadOptions, LoadReport, SendRate, Source,
    check_conservation, parse_duration,
};
use crate::storage::{Location, StorageError};
use crate::tenancy::ApiKey;

/// Send generated events, or a file, and report
#[derive(clap::Args, Clone)]
pub struct Args {
    /// Base URL of the server, http or https [env: TIDEGATE_URL]
    #[arg(long, default_value_t = usual_url())]
    pub url: String,
    /// PEM file of the authority that signed an https server's certificate [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Take any certificate of an https server: anyone on the network path can read the keys
    #[arg(long, conflicts_with = "cacert")]
    pub insecure: bool,
    /// API key; repeat it to load several tenants in turn [env: TIDEGATE_KEY, or TIDEGATE_KEY_FILE]
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Events a second over all connections, such as 5000/s, or max
    #[arg(long, default_value = "max", value_name = "N/s|max")]
    pub rate: SendRate,
    /// How long to send generated events
    #[arg(long, default_value = "10s", value_parser = parse_duration, conflicts_with = "file")]
    pub duration: Duration,
    /// Events a request
    #[arg(long, default_value_t = 1000)]
    pub batch: usize,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Body format: json (an array) or ndjson
    #[arg(long, default_value = "ndjson")]
    pub format: Format,
    /// Compress bodies
    #[arg(long)]
    pub gzip: bool,
    /// Load the lines of this file (NDJSON, gzipped or not) instead of generated events
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What to send, generated or from the file: events or metrics
    #[arg(long, default_value = "events")]
    pub kind: ItemKind,
    /// Move each stream's (for metrics each series') timestamps so that its newest is now
    #[arg(long, requires = "file")]
    pub shift_to_now: bool,
    /// What now is for --shift-to-now (RFC 3339), so that a second run sends the same
    #[arg(long, value_name = "TIME", value_parser = time, requires = "shift_to_now")]
    pub now: Option<jiff::Timestamp>,
    /// Send idempotency keys PREFIX-0, PREFIX-1, ..., so that a second run with the same --now changes nothing
    #[arg(long, value_name = "PREFIX", requires = "file")]
    pub key_prefix: Option<String>,
    /// Assets that generated items are spread over
    #[arg(long, default_value_t = ASSETS_DEFAULT, conflicts_with = "file")]
    pub assets: u32,
    /// Seed of the generated items
    #[arg(long, default_value_t = 1, conflicts_with = "file")]
    pub seed: u64,
    /// Write the report to this file as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

impl fmt::Debug for Args {
    /// Without the keys: they are secrets, and debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("url", &self.url).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Args {
    /// The options of the run; keys that no flag gives come from `environment`, with commas or each on its line.
    fn into_options(mut self, environment: Option<String>) -> Result<LoadOptions, String> {
        if self.keys.is_empty() {
            let keys = environment.unwrap_or_default();
            self.keys.extend(keys.split([',', '\n']).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned));
        }
        let trust = trust(self.cacert, self.insecure);
        let source = match self.file {
            None => Source::Generate { kind: self.kind, seed: self.seed, assets: self.assets },
            Some(path) => Source::File {
                path,
                kind: self.kind,
                shift_to_now: self.shift_to_now,
                now: self.now,
                key_prefix: self.key_prefix,
            },
        };
        let options = LoadOptions {
            url: self.url,
            trust,
            keys: self.keys,
            rate: self.rate,
            duration: self.duration,
            batch: self.batch,
            connections: self.connections,
            format: self.format,
            gzip: self.gzip,
            source,
            progress: true,
            max_events: None,
            no_keys: false,
        };
        options.validate()?;
        Ok(options)
    }
}

/// Runs the command: exit 1 when a request failed, an item was refused, the run stopped early, or conservation does not
/// hold.
pub async fn run(config: &Config, args: Args) -> Exit {
    let (json, file, url) = (args.json, args.report.clone(), args.url.clone());
    let environment = match keys_of_environment(!args.keys.is_empty()) {
        Ok(environment) => environment,
        Err(exit) => return exit,
    };
    let options = match args.into_options(environment) {
        Ok(options) => options,
        Err(error) => {
            failed(&error);
            return Exit::Usage;
        }
    };
    let cannot_write =
        |file: &Path, error: io::Error| failed(&format!("the report cannot be written to {}: {error}", file.display()));
    // Not after an hour of load.
    if let Some(file) = &file
        && let Err(error) = may_write(file)
    {
        return cannot_write(file, error);
    }
    let keys: Vec<uuid::Uuid> =
        options.keys.iter().filter_map(|key| ApiKey::parse(key).ok()).map(|key| key.id).collect();
    let mut report = match crate::load::run(options, interrupted()).await {
        Ok(report) => report,
        Err(error @ LoadError::Connect(_)) => return failed(&format!("{error}: {NOT_THERE}")),
        Err(error) => return failed(&error),
    };
    // Of nothing that was taken there is nothing to be compared.
    let checked = match why_nothing(&report, &url) {
        Some(_) => Ok(Err("the server took nothing")),
        None => conservation(config, &report, &keys).await,
    };
    match checked {
        Ok(Ok(conservation)) => report.conservation = Some(conservation),
        Ok(Err(why)) => eprintln!("conservation is not checked: {why}"),
        Err(error) => eprintln!("conservation is not checked: {error}"),
    }
    if let Some(file) = file {
        let text = serde_json::to_vec_pretty(&report).expect("reports are made of plain values");
        if let Err(error) = std::fs::write(&file, text) {
            return cannot_write(&file, error);
        }
    }
    if json {
        print_json(&report);
    } else if let Err(error) = print_report(&report, &mut io::stdout()) {
        return failed(&error);
    }
    if report.is_ok() {
        return Exit::Ok;
    }
    match why_nothing(&report, &url) {
        Some(why) => failed(&why),
        None => Exit::Failed,
    }
}

/// Why the server took nothing at all: said last, where somebody looks first.
fn why_nothing(report: &LoadReport, url: &str) -> Option<String> {
    let nothing = report.committed + report.spooled + report.rejected + report.duplicates == 0;
    let error = report.errors.first().filter(|_| nothing)?;
    Some(match error.status {
        Some(status) => format!("nothing was taken: {url} answers {status} {}: {}", error.code, error.message),
        None => format!("nothing was taken: {}", unanswered(url, &error.message)),
    })
}

/// Whether a file can be written; what was there stays, and nothing new is left behind.
fn may_write(file: &Path) -> io::Result<()> {
    // A pipe's reader would take this for its end.
    if std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(());
    }
    let is_new = file.symlink_metadata().is_err();
    std::fs::OpenOptions::new().append(true).create(true).open(file)?;
    if is_new { std::fs::remove_file(file) } else { Ok(()) }
}

/// Compares the report with the database, if one is configured or a server of this data_dir runs, and if it is the one
/// that the keys are of; otherwise says why not.
async fn conservation(
    config: &Config,
    report: &LoadReport,
    keys: &[uuid::Uuid],
) -> Result<Result<ConservationCheck, &'static str>, StorageError> {
    let Some(location) = Location::beside(config)? else {
        return Ok(Err("no database is configured, and no server runs on this data_dir"));
    };
    let client = owner_client(&location).await?;
    let known: i64 = client.query_one("SELECT count(*) FROM api_keys WHERE id = ANY ($1)", &[&keys]).await?.get(0);
    if usize::try_from(known) != Ok(keys.len()) {
        return Ok(Err("the database that can be reached does not know the keys: it is another server's"));
    }
    Ok(Ok(check_conservation(report, &client).await?))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::tls::Trust;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        load: Args,
    }

    fn parse(args: &[&str]) -> Result<LoadOptions, String> {
        let args = std::iter::once("load").chain(args.iter().copied());
        let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
        cli.load.into_options(Some("tg_env1, tg_env2".into()))
    }

    #[test]
    fn defaults() {
        let options = parse(&[]).expect("the defaults work");
        assert_eq!(options.url, "http://127.0.0.1:8080");
        assert_eq!(options.keys, ["tg_env1", "tg_env2"]);
        assert_eq!((options.rate, options.duration), (SendRate::Max, Duration::from_secs(10)));
        assert_eq!((options.batch, options.connections, options.gzip), (1000, 4, false));
        assert!(matches!(options.source, Source::Generate { assets: 2000, .. }));
    }

    #[test]
    fn flags() {
        let options = parse(&[
            "--key=a",
            "--key=b",
            "--rate=5000/s",
            "--duration=5m",
            "--batch=10",
            "--connections=2",
            "--format=json",
            "--gzip",
            "--seed=7",
            "--report=r.json",
            "--json",
        ])
        .expect("all flags work");
        assert_eq!(options.keys, ["a", "b"]);
        assert_eq!((options.rate, options.duration), (SendRate::PerSecond(5000), Duration::from_secs(300)));
        assert_eq!((options.batch, options.connections, options.format), (10, 2, Format::Json));
        assert!(options.gzip && matches!(options.source, Source::Generate { seed: 7, .. }));
        assert_eq!(options.trust, Trust::System);
        assert_eq!(parse(&["--insecure"]).expect("good").trust, Trust::Anyone);
        assert_eq!(parse(&["--cacert=ca.pem"]).expect("good").trust, Trust::File("ca.pem".into()));
    }

    #[test]
    fn a_file() {
        let now = "2026-01-01T00:00:00Z";
        let options = parse(&["--file=f", "--kind=metrics", "--shift-to-now", "--now", now, "--key-prefix=p"]);
        let Source::File { kind, shift_to_now, now: Some(at), key_prefix, .. } = options.expect("good").source else {
            panic!("a file was named");
        };
        assert_eq!((kind, shift_to_now, at.to_string().as_str()), (ItemKind::Metrics, true, now));
        assert_eq!(key_prefix.as_deref(), Some("p"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bad: [&[&str]; 9] = [
            &["--rate=0"],
            &["--duration=0s"],
            &["--batch=0"],
            &["--format=xml"],
            &["--shift-to-now"],
            &["--file=f", "--now=2026-01-01T00:00:00Z"],
            &["--file=f", "--duration=5s"],
            &["--connections=0"],
            &["--insecure", "--cacert=ca.pem"],
        ];
        for args in bad {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
