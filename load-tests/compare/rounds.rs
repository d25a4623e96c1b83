//! The comparison: the raw COPY limit, Tidegate over HTTP and the three INSERT methods, one after the other on fresh
//! tables of the same schema with the same events, all of it again in every round.

use tidegate::load::Generator;

use super::bodies::{Template, templates};
use super::feed::{Feed, Until};
use super::inserts::{self, Method};
use super::meter::{Meter, Usage};
use super::report::Figure;
use super::rows::{Batch, batches};
use super::sender::Sender;
use super::target::Target;
use super::{ASSETS, BATCH_ROWS, CONNECTIONS, Result, SEED, TENANTS, as_f64, live, raw};

/// The path through Tidegate, as the report calls it.
pub const HTTP: &str = "Tidegate over HTTP";
/// The limit.
pub const RAW: &str = "raw COPY";

/// What is compared, and how large.
pub struct Plan {
    /// Events of each measurement.
    pub events: u64,
    /// Measurements of each path.
    pub rounds: usize,
    /// Connections of the HTTP sender.
    pub http_connections: usize,
    /// Make bodies while they are sent, with `tidegate::load`, as `tidegate load` does.
    pub live_generator: bool,
    /// Only the limit and Tidegate.
    pub without_inserts: bool,
}

enum Path {
    Raw,
    Http,
    Insert(Method),
}

/// Measures all paths in turn, `rounds` times.
pub async fn run(target: &mut Target, plan: &Plan) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let events = plan.events.next_multiple_of(BATCH_ROWS);
    let generator = Generator { seed: SEED, assets: ASSETS };
    for round in 1..=plan.rounds {
        let inserts = if plan.without_inserts { &[][..] } else { &Method::ALL[..] };
        for path in [Path::Raw, Path::Http].into_iter().chain(inserts.iter().map(|&method| Path::Insert(method))) {
            target.fresh().await?;
            let made = templates(&generator, events / BATCH_ROWS, BATCH_ROWS);
            let wal_before = target.wal_bytes().await?;
            let (name, connections, usage) = measure(target, &path, plan, made).await?;
            target.check_stored(events).await?;
            let figure = Figure {
                path: name.to_owned(),
                events,
                batch: BATCH_ROWS,
                connections,
                usage,
                bytes_per_event: target.bytes_per_event(events).await?,
                wal_bytes_per_event: (target.wal_bytes().await? - wal_before) / as_f64(events),
            };
            println!("  round {round}: {:<34} {:>9.0} events/s", figure.path, figure.rate());
            figures.push(figure);
        }
    }
    Ok(figures)
}

async fn measure(
    target: &Target,
    path: &Path,
    plan: &Plan,
    made: Vec<Template>,
) -> Result<(&'static str, usize, Usage)> {
    let rows = |made: &[Template]| batches(made, &target.tenants[..TENANTS]);
    Ok(match path {
        Path::Raw => {
            let streams = rows(&made)?.iter().map(Batch::stream).collect();
            (RAW, CONNECTIONS, raw::run(target, streams, CONNECTIONS, true).await?)
        }
        Path::Http if plan.live_generator => {
            let events = made.iter().map(|template| template.events).sum();
            (HTTP, plan.http_connections, live::run(target, events, plan.http_connections).await?)
        }
        Path::Http => (HTTP, plan.http_connections, over_http(target, made, plan.http_connections).await?),
        Path::Insert(method) => {
            let rows = rows(&made)?;
            drop(made);
            (method.name(), CONNECTIONS, inserts::run(target, *method, &rows, CONNECTIONS).await?)
        }
    })
}

async fn over_http(target: &Target, made: Vec<Template>, connections: usize) -> Result<Usage> {
    let requests = made.len() as u64;
    let feed = Feed::in_turn(made, TENANTS, Until::Requests(requests));
    let sender = Sender::new(target)?;
    let meter = Meter::start(target);
    let sent = sender.send(feed, connections).await?;
    let usage = meter.stop(target);
    if sent.committed != sent.events {
        return Err(format!("{} of {} events committed: {:?}", sent.committed, sent.events, sent.statuses).into());
    }
    println!("    latency p50 {:.1} ms, p99 {:.1} ms", sent.latency_ms(500), sent.latency_ms(990));
    Ok(usage)
}
