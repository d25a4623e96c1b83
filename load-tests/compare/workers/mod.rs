//! One, two and four workers of Citus, all on this machine, beside raw COPY to the shards of the same layout on the
//! workers that have them. What counts is, as for nodes, how many events a second of processor is, of all servers, of
//! Tidegate and of the sender, against that of COPY and its client. Each measurement has servers of its own.

mod cluster;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::model::{Kind, StoredJson};
use tidegate::storage::citus::{Cell, cells};
use tidegate::storage::embedded::{OWNER, WRITER};
use tidegate::tenancy::{Scopes, admin};
use tokio_postgres::Client;

use self::cluster::{Cluster, Serving};
use super::common::{BATCH_ROWS, Result, TENANTS, mean, within_a_minute};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::machine;
use super::meter::Usage;
use super::options::Options;
use super::proc;
use super::raw::{Numbers, copy};
use super::rows::streams;
use super::sender::Sender;
use super::templates::templates;

const COUNTS: [usize; 3] = [1, 2, 4];
/// Of each tenant, before anything is measured.
const FIRST_ROWS: u64 = 10;
/// For what a spool gives back after the last answer.
const SETTLE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Measures COPY and Tidegate in turn for each number of workers, so often as there are rounds.
pub async fn run(options: &Options, figures: &mut Figures) -> Result<()> {
    let requests = options.events.div_ceil(BATCH_ROWS);
    let events = requests * BATCH_ROWS;
    for count in COUNTS {
        let (mut raw, mut served) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            for (is_raw, all) in [(true, &mut raw), (false, &mut served)] {
                let cluster = Cluster::start(count, count.max(machine::processors())).await?;
                let measured = measure(&cluster, requests, is_raw, options.connections).await;
                cluster.stop().await?;
                let usage = measured?;
                usage.add(figures, &name(count, is_raw), "event", events);
                all.push(usage.us(events));
            }
        }
        figures.add(
            &format!("{} / raw COPY, per processor second", name(count, false)),
            "ratio",
            mean(&raw) / mean(&served),
        );
    }
    Ok(())
}

fn name(count: usize, is_raw: bool) -> String {
    if is_raw { format!("raw COPY, workers_{count}") } else { format!("workers_{count}") }
}

async fn measure(cluster: &Cluster, requests: u64, is_raw: bool, connections: usize) -> Result<Usage> {
    let serving = cluster.serve()?;
    let owner = cluster.owner().await?;
    let (mut tenants, mut keys) = (Vec::new(), Vec::new());
    for number in 0..TENANTS {
        let made = admin::create_organization(&owner, &format!("tenant-{number}"), None).await?;
        keys.push(admin::create_key(&owner, &made.tenant_id, Scopes::parse("ingest")?, "", None).await?.key);
        tenants.push(made.tenant_id);
    }
    // Every cell has the day's partitions before the clock starts.
    let first = Feed::in_turn(templates(TENANTS as u64, FIRST_ROWS), TENANTS, Until::Requests(TENANTS as u64));
    let sender = Sender::at(Arc::clone(&serving.endpoint), Kind::Events, &keys)?;
    let first = sender.send(first, connections).await?.accepted();
    check_stored(&owner, first).await?;
    for cell in cells(&owner).await? {
        let client = cluster.connect(OWNER, &cell.place).await?;
        client.batch_execute(&cell.settings()).await?;
        has_looked_ahead(&client).await?;
    }
    has_looked_ahead(&owner).await?;
    cluster.checkpoint().await?;
    let usage = match is_raw {
        true => {
            serving.stop()?;
            raw(cluster, &owner, &tenants, requests).await?
        }
        false => over_http(cluster, &serving, &keys, requests, connections).await?,
    };
    check_stored(&owner, first + requests * BATCH_ROWS).await?;
    Ok(usage)
}

/// Waits until the first run of the job that makes the next days' partitions is over. A new database has about a hundred of
/// them to make, which is nothing that an event costs.
async fn has_looked_ahead(client: &Client) -> Result<()> {
    let started = Instant::now();
    while !client
        .query_one("SELECT EXISTS (SELECT FROM job_runs WHERE job = 'lifecycle')", &[])
        .await?
        .get::<_, bool>(0)
    {
        if started.elapsed() > SETTLE {
            return Err("the first run of the job lifecycle has not ended".into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// COPY into each cell's shard by a connection of its own to its worker, each batch with a row of the ledger there.
async fn raw(cluster: &Cluster, owner: &Client, tenants: &[String], requests: u64) -> Result<Usage> {
    let made = templates(requests, BATCH_ROWS);
    let all = streams(Kind::Events, &made, tenants, StoredJson::default())?;
    let mut lanes = Vec::new();
    for cell in cells(owner).await? {
        let own = of_cell(owner, &cell, tenants).await?;
        let streams: Vec<Bytes> =
            all.iter().zip(own.iter().cycle()).filter(|(_, own)| **own).map(|(stream, _)| stream.clone()).collect();
        let client = cluster.connect(WRITER, &cell.place).await?;
        client.batch_execute(&cell.settings()).await?;
        lanes.push((client, cell, streams));
    }
    let clock = Clock::start(cluster, None);
    let mut copying = tokio::task::JoinSet::new();
    for (client, cell, streams) in lanes {
        copying.spawn(async move {
            let (table, columns) = (cell.copied.of(Kind::Events), Kind::Events.copy_columns());
            copy(&client, table, columns, &streams, &Numbers::up_to(streams.len())).await
        });
    }
    while let Some(done) = copying.join_next().await {
        done??;
    }
    Ok(clock.stop())
}

/// Which of the tenants are a cell's.
async fn of_cell(owner: &Client, cell: &Cell, tenants: &[String]) -> Result<Vec<bool>> {
    let sql = "SELECT worker_hash(t) BETWEEN $2 AND $3 FROM unnest($1::text[]) WITH ORDINALITY AS x (t, n) ORDER BY n";
    let rows = owner.query(sql, &[&tenants, &cell.first_hash, &cell.last_hash]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn over_http(
    cluster: &Cluster,
    serving: &Serving,
    keys: &[String],
    requests: u64,
    connections: usize,
) -> Result<Usage> {
    let feed = Feed::in_turn(templates(requests, BATCH_ROWS), TENANTS, Until::Requests(requests));
    let sender = Sender::at(Arc::clone(&serving.endpoint), Kind::Events, keys)?;
    within_a_minute().await;
    let clock = Clock::start(cluster, Some(serving.pid()));
    let sent = sender.send(feed, connections).await?;
    let usage = clock.stop();
    if sent.committed != sent.events {
        return Err(format!("{} of {} committed: {:?}", sent.committed, sent.events, sent.statuses).into());
    }
    Ok(usage)
}

/// An error unless exactly `expected` events are there, as the coordinator sees them.
async fn check_stored(owner: &Client, expected: u64) -> Result<()> {
    let started = Instant::now();
    loop {
        let count: i64 = owner.query_one("SELECT count(*) FROM tidegate.events", &[]).await?.get(0);
        match u64::try_from(count)? {
            rows if rows == expected => return Ok(()),
            rows if rows > expected || started.elapsed() > SETTLE => {
                return Err(format!("not conserved: {rows} events instead of {expected}").into());
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What a measurement on all servers costs.
struct Clock<'a> {
    cluster: &'a Cluster,
    tidegate: Option<u32>,
    before: [f64; 3],
    started: Instant,
}

impl<'a> Clock<'a> {
    fn start(cluster: &'a Cluster, tidegate: Option<u32>) -> Self {
        if let Some(pid) = tidegate {
            proc::reset_peak(pid);
        }
        Self { cluster, tidegate, before: cpu_seconds(cluster, tidegate), started: Instant::now() }
    }

    fn stop(self) -> Usage {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let now = cpu_seconds(self.cluster, self.tidegate);
        let [tidegate_cpu_s, postgres_cpu_s, sender_cpu_s] = std::array::from_fn(|n| now[n] - self.before[n]);
        let tidegate_peak_mib = self.tidegate.map_or(0.0, proc::peak_mib);
        Usage { elapsed_s, tidegate_cpu_s, postgres_cpu_s, sender_cpu_s, tidegate_peak_mib }
    }
}

/// Of Tidegate, all servers and this process so far.
fn cpu_seconds(cluster: &Cluster, tidegate: Option<u32>) -> [f64; 3] {
    [tidegate.map_or(0.0, proc::cpu_seconds), cluster.cpu_s(), proc::cpu_seconds(std::process::id())]
}
