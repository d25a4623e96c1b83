//! A tenant's million events as CSV and as NDJSON beside psql's COPY of the same rows; and what others' ingestion at half the
//! maximum rate notices of it.

use std::process::Stdio;
use std::time::Instant;

use tidegate::storage::embedded::{DATABASE, READER};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::beside::beside;
use super::common::{Result, as_f64, mean};
use super::figures::Figures;
use super::meter::Meter;
use super::newest::fill_open_day;
use super::options::Options;
use super::runs::maximum;
use super::stream::{Streamed, get};
use super::target::Target;

const FORMS: [(&str, &str); 2] = [("CSV", "text/csv"), ("NDJSON", "application/x-ndjson")];
const COPY: &str = "psql's COPY";
const PATH: &str = "/v1/events";

/// `known` is the maximum rate where another part has measured it.
pub async fn run(target: &mut Target, options: &Options, known: Option<f64>, figures: &mut Figures) -> Result<()> {
    let maximum = maximum(target, options, known, figures).await?;
    let rows = fill_open_day(target, options.million(), options.connections).await?;
    let mut copies = Vec::new();
    for _ in 0..options.rounds {
        let (lines, s) = copy(target).await?;
        expect(COPY, lines, rows + 1)?;
        copies.push(s);
    }
    let copied_s = mean(&copies);
    figures.add_all(COPY, &[("s", copied_s), ("rows/s", as_f64(rows) / copied_s)]);
    for (form, accept) in FORMS {
        let (mut all_s, mut last) = (Vec::new(), None);
        for _ in 0..options.rounds {
            let meter = Meter::start(target);
            let streamed = export(target, form, accept, rows).await?;
            all_s.push(streamed.all.as_secs_f64());
            last = Some((streamed, meter.stop(target)));
        }
        let s = mean(&all_s);
        if let Some((streamed, usage)) = last {
            let values = [
                ("s", s),
                ("rows/s", as_f64(rows) / s),
                ("ms to the first byte", streamed.first.as_secs_f64() * 1000.0),
                ("MiB", as_f64(streamed.bytes) / 1_048_576.0),
                ("Tidegate s", usage.tidegate_cpu_s),
                ("PostgreSQL s", usage.postgres_cpu_s),
                ("MiB at most", usage.tidegate_peak_mib),
            ];
            figures.add_all(form, &values);
        }
        figures.add(&format!("{form} / {COPY}"), "ratio", s / copied_s);
    }
    let csv = async || Ok(export(target, FORMS[0].0, FORMS[0].1, rows).await?.all.as_secs_f64());
    let beside = beside(target, options, maximum / 2.0, csv, "exports", figures).await?;
    let values = [("s", mean(&beside.all_s)), ("exports", as_f64(beside.all_s.len() as u64))];
    figures.add_all("CSV beside ingestion at half rate", &values);
    target.check_stored("events", rows + beside.accepted).await
}

/// The first tenant's events, all of them.
async fn export(target: &Target, form: &str, accept: &str, rows: u64) -> Result<Streamed> {
    let streamed = get(target, PATH, accept, &target.keys[0]).await?;
    expect(form, streamed.lines, rows + u64::from(accept == "text/csv"))?;
    Ok(streamed)
}

fn expect(what: &str, lines: u64, expected: u64) -> Result<()> {
    if lines == expected { Ok(()) } else { Err(format!("{what} has {lines} lines instead of {expected}").into()) }
}

/// The same rows by COPY, as the reader: lines, and seconds.
async fn copy(target: &Target) -> Result<(u64, f64)> {
    let tenant = &target.tenants[0];
    let sql =
        format!("COPY (SELECT * FROM tidegate.events WHERE tenant_id = '{tenant}') TO STDOUT (FORMAT csv, HEADER)");
    let mut psql = Command::new(target.program("psql")?);
    psql.args(["-X", "-q", "-d", &target.url_of(READER, DATABASE), "-c", &sql]).env_remove("PGOPTIONS");
    let began = Instant::now();
    let mut child = psql.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut out = child.stdout.take().ok_or("psql has no output")?;
    let (mut buffer, mut lines) = (vec![0; 1 << 18], 0);
    loop {
        let read = out.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("psql ended with {status}").into());
    }
    Ok((lines, began.elapsed().as_secs_f64()))
}
