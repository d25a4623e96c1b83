//! `tidegate load`: its arguments and its report. The work is in [`crate::load`].

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::instance::interrupted;
use super::output::{Exit, failed, print_json};
use super::values::time;
use crate::app::owner_client;
use crate::config::Config;
use crate::load::{
    ASSETS_DEFAULT, ConservationCheck, Format, ItemKind, LoadOptions, LoadReport, SendRate, Source, check_conservation,
    parse_duration,
};
use crate::storage::{Location, StorageError};
use crate::tenancy::ApiKey;

/// Where a key is looked for when none is given.
const KEY_VARIABLE: &str = "TIDEGATE_KEY";

/// Send generated events, or a file, and report
#[derive(clap::Args, Clone)]
pub struct Args {
    /// Base URL of the server (plain http)
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// API key; repeat it to load several tenants in turn [env: TIDEGATE_KEY]
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
    /// The options of the run. Keys come from the arguments or else, comma separated, from `TIDEGATE_KEY`.
    pub fn into_options(self) -> Result<LoadOptions, String> {
        self.into_options_with(std::env::var(KEY_VARIABLE).ok())
    }

    fn into_options_with(mut self, variable: Option<String>) -> Result<LoadOptions, String> {
        if self.keys.is_empty() {
            let keys = variable.unwrap_or_default();
            self.keys.extend(keys.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned));
        }
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

/// Runs the command: exit 1 when a request failed, the run stopped early, or conservation does not hold.
pub async fn run(config: &Config, args: Args) -> Exit {
    let (json, file) = (args.json, args.report.clone());
    let options = match args.into_options() {
        Ok(options) => options,
        Err(error) => {
            failed(&error);
            return Exit::Usage;
        }
    };
    let keys: Vec<uuid::Uuid> =
        options.keys.iter().filter_map(|key| ApiKey::parse(key).ok()).map(|key| key.id).collect();
    let mut report = match crate::load::run(options, interrupted()).await {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    match conservation(config, &report, &keys).await {
        Ok(Ok(conservation)) => report.conservation = Some(conservation),
        Ok(Err(why)) => eprintln!("conservation is not checked: {why}"),
        Err(error) => eprintln!("conservation is not checked: {error}"),
    }
    if let Some(file) = file {
        let text = serde_json::to_vec_pretty(&report).expect("reports are made of plain values");
        if let Err(error) = std::fs::write(&file, text) {
            return failed(&format!("the report cannot be written to {}: {error}", file.display()));
        }
    }
    if json {
        print_json(&report);
    } else if let Err(error) = print_report(&report, &mut io::stdout()) {
        return failed(&error);
    }
    if report.is_ok() { Exit::Ok } else { Exit::Failed }
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

/// Prints a report for people.
pub fn print_report(report: &LoadReport, out: &mut impl Write) -> io::Result<()> {
    let what = match report.kind {
        ItemKind::Events => "events",
        ItemKind::Metrics => "metrics",
    };
    let (sent, requests) = (report.events_sent, report.requests);
    writeln!(out, "{:<14}{sent} {what} in {requests} requests, {:.1} s", "sent", report.elapsed_s)?;
    writeln!(out, "{:<14}{}", "committed", report.committed)?;
    if report.spooled > 0 {
        writeln!(out, "{:<14}{}", "spooled", report.spooled)?;
    }
    writeln!(out, "{:<14}{}", "rejected", report.rejected)?;
    writeln!(out, "{:<14}{}", "duplicates", report.duplicates)?;
    if report.failed_requests > 0 {
        writeln!(out, "{:<14}{} in {} requests", "failed", report.failed_events, report.failed_requests)?;
    }
    writeln!(out, "{:<14}{:.0} {what}/s", "rate", report.events_per_second)?;
    let latency = report.latency_ms;
    let (p50, p95, p99, max) = (latency.p50, latency.p95, latency.p99, latency.max);
    writeln!(out, "{:<14}p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms", "latency")?;
    let statuses: Vec<String> = report.statuses.iter().map(|(status, count)| format!("{status} x {count}")).collect();
    writeln!(out, "{:<14}{}", "answers", if statuses.is_empty() { "none".into() } else { statuses.join(", ") })?;
    if report.retries > 0 {
        writeln!(
            out,
            "{:<14}{}, {} of all attempts got no answer",
            "retries", report.retries, report.connection_errors
        )?;
    }
    if let Some(conservation) = &report.conservation {
        print_conservation(conservation, out)?;
    }
    for error in &report.errors {
        let status = error.status.map_or_else(String::new, |status| format!("{status} "));
        writeln!(out, "{:<14}{status}{} x {}: {}", "error", error.code, error.count, error.message)?;
    }
    if report.interrupted {
        writeln!(out, "{:<14}by the user", "interrupted")?;
    }
    if let Some(reason) = &report.stopped_early {
        writeln!(out, "{:<14}{reason}", "stopped early")?;
    }
    Ok(())
}

fn print_conservation(conservation: &ConservationCheck, out: &mut impl Write) -> io::Result<()> {
    let verdict = if conservation.ok { "ok" } else { "VIOLATED" };
    write!(out, "{:<14}{verdict}: ", "conservation")?;
    write!(out, "{} of {} accepted are stored, ", conservation.found, conservation.expected)?;
    write!(out, "{} of {} rejected are dead letters", conservation.rejected_found, conservation.rejected_expected)?;
    if conservation.still_spooled > 0 {
        write!(out, ", {} still in the spool", conservation.still_spooled)?;
    }
    writeln!(out)?;
    for mismatch in &conservation.mismatches {
        let (receipt, found, expected) = (mismatch.receipt, mismatch.found, mismatch.expected);
        writeln!(out, "{:<14}receipt {receipt}: {found} rows, {expected} accepted", "")?;
    }
    if let Some(note) = &conservation.note {
        writeln!(out, "{:<14}{note}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::load::{ErrorSample, LatencyMs, Mismatch};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        load: Args,
    }

    fn parse(args: &[&str]) -> Result<LoadOptions, String> {
        let args = std::iter::once("load").chain(args.iter().copied());
        let cli = Cli::try_parse_from(args).map_err(|error| error.to_string())?;
        cli.load.into_options_with(Some("tg_env1, tg_env2".into()))
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
        let bad: [&[&str]; 8] = [
            &["--rate=0"],
            &["--duration=0s"],
            &["--batch=0"],
            &["--format=xml"],
            &["--shift-to-now"],
            &["--file=f", "--now=2026-01-01T00:00:00Z"],
            &["--file=f", "--duration=5s"],
            &["--connections=0"],
        ];
        for args in bad {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn the_report_is_aligned_and_names_what_is_wrong() {
        let receipt = uuid::Uuid::nil();
        let report = LoadReport {
            kind: ItemKind::Events,
            events_sent: 3000,
            committed: 1990,
            spooled: 0,
            duplicates: 0,
            rejected: 10,
            failed_events: 1000,
            requests: 3,
            failed_requests: 1,
            retries: 3,
            connection_errors: 2,
            elapsed_s: 2.0,
            events_per_second: 995.0,
            latency_ms: LatencyMs { p50: 1.25, p95: 2.0, p99: 3.0, max: 4.0 },
            statuses: [(200, 2), (503, 2)].into(),
            errors: vec![ErrorSample { status: Some(503), code: "full".into(), message: "later".into(), count: 1 }],
            oldest_us: None,
            newest_us: None,
            interrupted: false,
            stopped_early: None,
            receipts: Vec::new(),
            spread: false,
            conservation: Some(ConservationCheck {
                expected: 1990,
                found: 1989,
                still_spooled: 0,
                rejected_expected: 10,
                rejected_found: 10,
                ok: false,
                mismatched_receipts: 1,
                mismatches: vec![Mismatch { receipt, expected: 995, found: 994 }],
                note: None,
            }),
        };
        let mut out = Vec::new();
        print_report(&report, &mut out).expect("a Vec takes every write");
        let expected = "\
sent          3000 events in 3 requests, 2.0 s
committed     1990
rejected      10
duplicates    0
failed        1000 in 1 requests
rate          995 events/s
latency       p50 1.2 ms, p95 2.0 ms, p99 3.0 ms, max 4.0 ms
answers       200 x 2, 503 x 2
retries       3, 2 of all attempts got no answer
conservation  VIOLATED: 1989 of 1990 accepted are stored, 10 of 10 rejected are dead letters
              receipt 00000000-0000-0000-0000-000000000000: 994 rows, 995 accepted
error         503 full x 1: later
";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        assert!(!report.is_ok());
    }
}
