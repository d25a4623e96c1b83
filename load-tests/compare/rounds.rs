//! The comparison: the raw COPY limit, Tidegate over HTTP and the three INSERT methods, one after the other on fresh
//! tables of the same schema with the same events, all of it again in every round.

use tidegate::load::Generator;

use super::bodies::{Template, templates};
use super::feed::{Feed, Until};
use super::figure::{Begun, over_http};
use super::inserts::{self, Method};
use super::meter::Usage;
use super::report::Figure;
use super::rows::{Batch, batches};
use super::target::Target;
use super::{ASSETS, BATCH_ROWS, CONNECTIONS, Result, SEED, TENANTS, live, raw};

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
        println!("  round {round}");
        let inserts = if plan.without_inserts { &[][..] } else { &Method::ALL[..] };
        for path in [Path::Raw, Path::Http].into_iter().chain(inserts.iter().map(|&method| Path::Insert(method))) {
            let begun = Begun::new(target).await?;
            let made = templates(&generator, events / BATCH_ROWS, BATCH_ROWS);
            let (name, connections, usage) = measure(target, &path, plan, made).await?;
            figures.push(begun.figure(target, name, events, connections, usage).await?);
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
        Path::Http => {
            let requests = Until::Requests(made.len() as u64);
            let feed = Feed::in_turn(made, TENANTS, requests);
            (HTTP, plan.http_connections, over_http(target, feed, plan.http_connections).await?)
        }
        Path::Insert(method) => {
            let rows = rows(&made)?;
            drop(made);
            (method.name(), CONNECTIONS, inserts::run(target, *method, &rows, CONNECTIONS).await?)
        }
    })
}
