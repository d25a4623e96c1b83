//! The comparison: the reference, the raw COPY limit of today's relations, Tidegate over HTTP and the three INSERT methods,
//! one after the other on fresh tables with the same events, all of it again in every round.

use std::time::Duration;

use tidegate::load::{Format, LoadOptions, SendRate, Source, check_conservation, run as load};
use tidegate::model::{Kind, StoredJson};

use super::common::{ASSETS, BATCH_ROWS, CONNECTIONS, Result, SEED, TENANTS, as_f64, item, mean, per_row};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::inserts::{self, Method};
use super::meter::{Meter, Usage};
use super::options::Options;
use super::raw;
use super::reference;
use super::rows::streams;
use super::sender::Sender;
use super::target::Target;
use super::templates::{Template, templates};

/// The path through Tidegate, as the report calls it.
pub const HTTP: &str = "Tidegate over HTTP";
/// Raw COPY into the relations of migration 12, as the report calls it.
pub const REFERENCE: &str = "the reference";
pub const RAW: &str = "raw COPY";
const OVER_HTTP: &str = "over HTTP";

#[derive(Clone, Copy)]
enum Path {
    Raw,
    Http,
    Insert(Method),
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::Raw => RAW,
            Self::Http => HTTP,
            Self::Insert(method) => method.name(),
        }
    }
}

/// Measures all paths in turn, as many rounds as are asked for.
pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let events = options.events.next_multiple_of(BATCH_ROWS);
    let is_json = target.stored_json == StoredJson::Json;
    let inserts = if options.without_inserts || is_json { &[][..] } else { &Method::ALL[..] };
    let mut paths = vec![Path::Raw, Path::Http];
    paths.extend(inserts.iter().map(|&method| Path::Insert(method)));
    let (mut reference, mut rates, mut cpu_us) = (Vec::new(), vec![Vec::new(); paths.len()], Vec::new());
    let made = || templates(events / BATCH_ROWS, BATCH_ROWS);
    for round in 1..=options.rounds {
        let name = |path: &str| format!("{path}, round {round}");
        let usage = reference::run(target, &made(), figures, &name(REFERENCE)).await?;
        reference.push(usage.rate(events));
        for (path, rates) in paths.iter().zip(&mut rates) {
            let begun = Begun::new(target).await?;
            let usage = measure(target, *path, options, made()).await?;
            begun.figures(target, figures, &name(path.name()), Kind::Events, events, &usage).await?;
            rates.push(usage.rate(events));
            if matches!(path, Path::Http) {
                cpu_us.push(per_row(usage.tidegate_cpu_s * 1e6, events));
            }
        }
    }
    let (reference, means) = (mean(&reference), rates.iter().map(|rates| mean(rates)).collect::<Vec<_>>());
    figures.add(REFERENCE, "events/s", reference);
    figures.add(HTTP, "events/s", means[1]);
    for (path, mean) in paths.iter().zip(&means) {
        let name = if matches!(path, Path::Http) { OVER_HTTP } else { path.name() };
        figures.add(&format!("{name} / {REFERENCE}"), "ratio", mean / reference);
        if !matches!(path, Path::Raw) {
            figures.add(&format!("{name} / {RAW}"), "ratio", mean / means[0]);
        }
    }
    figures.add("Tidegate's own CPU", "us/event", mean(&cpu_us));
    Ok(())
}

async fn measure(target: &Target, path: Path, options: &Options, made: Vec<Template>) -> Result<Usage> {
    let streams = |made: &[Template]| streams(Kind::Events, made, &target.tenants[..TENANTS], target.stored_json);
    match path {
        Path::Raw => raw::run(target, Kind::Events, streams(&made)?, CONNECTIONS).await,
        Path::Http if options.live_generator => live(target, made.len() as u64 * BATCH_ROWS, options.connections).await,
        Path::Http => {
            let requests = Until::Requests(made.len() as u64);
            over_http(target, Kind::Events, Feed::in_turn(made, TENANTS, requests), options.connections).await
        }
        Path::Insert(method) => inserts::run(target, method, &streams(&made)?, CONNECTIONS).await,
    }
}

/// Sends all of a feed, which must be committed and not spooled.
pub async fn over_http(target: &Target, kind: Kind, feed: Feed, connections: usize) -> Result<Usage> {
    let sender = Sender::new(target, kind, &target.keys)?;
    let meter = Meter::start(target);
    let sent = sender.send(feed, connections).await?;
    let usage = meter.stop(target);
    if sent.committed != sent.events {
        return Err(format!("{} of {} committed: {:?}", sent.committed, sent.events, sent.statuses).into());
    }
    Ok(usage)
}

/// The same path with `tidegate::load`, whose processor time is part of the machine's two cores, and of the figure.
async fn live(target: &Target, events: u64, connections: usize) -> Result<Usage> {
    let load_options = LoadOptions {
        url: target.url.clone(),
        trust: tidegate::tls::Trust::System,
        keys: target.keys[..TENANTS].to_vec(),
        rate: SendRate::Max,
        duration: Duration::from_secs(600),
        batch: usize::try_from(BATCH_ROWS)?,
        connections,
        format: Format::Ndjson,
        gzip: false,
        source: Source::Generate { kind: tidegate::load::ItemKind::Events, seed: SEED, assets: ASSETS },
        progress: false,
        max_events: Some(events),
        no_keys: false,
    };
    let meter = Meter::start(target);
    let report = load(load_options, std::future::pending()).await?;
    let usage = meter.stop(target);
    let kept = check_conservation(&report, &target.owner).await?;
    if report.committed != events || !kept.ok {
        return Err(format!("not conserved: {} of {events} committed, {kept:?}", report.committed).into());
    }
    Ok(usage)
}

/// A measurement that begins: what is compared with afterwards.
pub struct Begun {
    /// Rows that are there already.
    rows: u64,
    wal_bytes: f64,
}

impl Begun {
    /// On fresh tables.
    pub async fn new(target: &mut Target) -> Result<Self> {
        target.fresh().await?;
        Self::after(target, 0).await
    }

    /// On tables that hold so many rows of the kind.
    pub async fn after(target: &Target, rows: u64) -> Result<Self> {
        Ok(Self { rows, wal_bytes: target.wal_bytes().await? })
    }

    /// The figures of so many rows, every one of which is looked for.
    pub async fn figures(
        self,
        target: &Target,
        figures: &mut Figures,
        name: &str,
        kind: Kind,
        rows: u64,
        usage: &Usage,
    ) -> Result<()> {
        let stored = self.rows + rows;
        target.check_stored(kind.table(), stored).await?;
        let item = item(kind);
        usage.add(figures, name, item, rows);
        figures.add(name, &format!("bytes/{item}"), per_row(target.bytes_of(kind.table()).await?, stored));
        let wal_bytes = target.wal_bytes().await? - self.wal_bytes;
        figures.add(name, &format!("WAL bytes/{item}"), wal_bytes / as_f64(rows));
        Ok(())
    }
}
