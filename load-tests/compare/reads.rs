//! Reads of a table of several million rows, as a dashboard asks them: over HTTP, and the seed's first pattern in SQL.

use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;

use super::http::{Connection, address, head};
use super::report::Read;
use super::sender::percentile;
use super::target::Target;
use super::{ASSETS, Result, TENANTS};

/// Each kind of read is asked this often, or for so long.
const COUNT: usize = 200;
const LENGTH: Duration = Duration::from_secs(15);

/// An odd number larger than there are tenants and assets: steps through both in no order that a cache would like.
const STEP: usize = 7919;

enum Kind {
    Http { query: &'static str, path: fn(usize) -> String },
    Sql { query: &'static str, sql: fn(usize) -> String },
}

fn asset(number: usize) -> String {
    format!("asset-{:05}", (number * STEP) % ASSETS as usize)
}

const KINDS: [Kind; 4] = [
    Kind::Http {
        query: "GET /v1/events?asset_id=...&from=-24h&limit=1000",
        path: |n| format!("/v1/events?asset_id={}&from=-24h&limit=1000", asset(n)),
    },
    Kind::Sql {
        query: "seed's pattern 1 in SQL: an asset of all tenants, 24 h, LIMIT 1000",
        sql: |n| {
            format!(
                "SELECT * FROM events WHERE asset_id = '{}' AND timestamp >= NOW() - INTERVAL '24 hours' \
                 ORDER BY timestamp DESC LIMIT 1000",
                asset(n)
            )
        },
    },
    Kind::Http { query: "GET /v1/events?from=-24h&limit=100", path: |_| "/v1/events?from=-24h&limit=100".into() },
    Kind::Http {
        query: "GET /v1/events/counts?bucket=1h&from=-7d",
        path: |_| "/v1/events/counts?bucket=1h&from=-7d".into(),
    },
];

/// Where the table takes the figure "recent events of an asset" from.
pub fn is_recent_of_an_asset(read: &Read) -> bool {
    read.query.starts_with("GET /v1/events?asset_id=")
}

/// Asks every kind, one after another on one connection; `state` says how the table is.
pub async fn run(target: &Target, state: &str) -> Result<Vec<Read>> {
    let mut reads = Vec::new();
    for kind in &KINDS {
        let (query, times, rows) = match kind {
            Kind::Http { query, path } => {
                let (times, rows) = over_http(target, *path).await?;
                (query, times, rows)
            }
            Kind::Sql { query, sql } => {
                let (times, rows) = in_sql(target, *sql).await?;
                (query, times, rows)
            }
        };
        reads.push(summary(query, state, times, rows));
    }
    Ok(reads)
}

fn summary(query: &str, state: &str, mut times_ms: Vec<f64>, mut rows: Vec<usize>) -> Read {
    times_ms.sort_by(f64::total_cmp);
    rows.sort_unstable();
    let time = |permille| percentile(&times_ms, permille).unwrap_or(0.0);
    Read {
        query: query.to_owned(),
        state: state.to_owned(),
        count: times_ms.len(),
        rows: percentile(&rows, 500).unwrap_or(0),
        p50_ms: time(500),
        p95_ms: time(950),
    }
}

async fn over_http(target: &Target, path: fn(usize) -> String) -> Result<(Vec<f64>, Vec<usize>)> {
    let host = target.url.trim_start_matches("http://");
    let mut connection = Connection::open(address(&target.url)?).await?;
    let (mut times, mut rows, started) = (Vec::new(), Vec::new(), Instant::now());
    for number in 0..COUNT {
        let key = &target.keys[number % TENANTS];
        let request = head("GET", &path(number), host, key) + "\r\n";
        let asked = Instant::now();
        let reply = connection.exchange(request.as_bytes()).await?;
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
        if reply.status != 200 {
            let said = String::from_utf8_lossy(&reply.body);
            return Err(format!("{} answered {}: {said}", path(number), reply.status).into());
        }
        let answer: serde_json::Value = serde_json::from_slice(&reply.body)?;
        rows.push(answer["data"].as_array().map_or(0, Vec::len));
        if started.elapsed() > LENGTH {
            break;
        }
    }
    Ok((times, rows))
}

async fn in_sql(target: &Target, sql: fn(usize) -> String) -> Result<(Vec<f64>, Vec<usize>)> {
    let client = target.reader().await?;
    let (mut times, mut rows, started) = (Vec::new(), Vec::new(), Instant::now());
    for number in 0..COUNT {
        let asked = Instant::now();
        let answer = client.simple_query(&sql(number)).await?;
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
        rows.push(answer.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count());
        if started.elapsed() > LENGTH {
            break;
        }
    }
    Ok((times, rows))
}
