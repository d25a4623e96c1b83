//! Reads over HTTP by several clients at once, as many dashboards do: each on its own keep-alive connection, for another
//! tenant and another asset each time, the next as soon as the last is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::analytics::Asked;
use super::dataset::{Dataset, asset_name, below, metric};
use super::explain::Statement;
use super::http::{Connection, address, head};
use super::meter::{Meter, Usage};
use super::sender::percentile;
use super::target::Target;
use super::{Result, as_f64};

/// Each client's first answers are not counted: connections of the pool open, and caches fill.
const WARM_UP: u64 = 3;
/// One answer in so many is parsed, to see how many rows it has: parsing costs the same two cores.
const PARSED: u64 = 16;
/// After so many errors a kind of read is given up.
const ERRORS_MAX: usize = 20;
/// An odd prime, for random numbers of each client.
const STEP: u64 = 7_919;

/// What is asked.
pub struct Kind {
    /// As the report calls it.
    pub query: &'static str,
    /// The path for a tenant, from a random number.
    path: fn(&Dataset, usize, u64) -> String,
}

/// Where the contract takes figures from.
pub const RECENT: &str = "GET /v1/events?asset_id=...&from=-24h&limit=100";
/// The same.
pub const HOURLY: &str = "GET /v1/metrics?metric_name=...&asset_id=...&resolution=1h&from=-7d";

/// All kinds of reads.
pub const KINDS: [Kind; 9] = [
    Kind {
        query: RECENT,
        path: |data, tenant, random| {
            format!("/v1/events?asset_id={}&from=-24h&limit=100", asset_name(tenant, below(random, data.assets)))
        },
    },
    Kind {
        query: HOURLY,
        path: |data, tenant, random| {
            let asset = below(random, data.assets);
            let which = u32::try_from(random % u64::from(data.metrics_per_asset)).expect("below a 32-bit number");
            let (name, asset) = (metric(asset, which).0, asset_name(tenant, asset));
            format!("/v1/metrics?metric_name={name}&asset_id={asset}&resolution=1h&from=-7d")
        },
    },
    Kind { query: "GET /v1/events?limit=100", path: |_, _, _| "/v1/events?limit=100".into() },
    Kind {
        query: "GET /v1/events?correlation_id=...",
        path: |data, tenant, random| {
            let mut group = data.group(tenant, number(data, random));
            let id = loop {
                match data.correlation(tenant, group) {
                    Some(id) => break id,
                    // Some groups have none; the block of the next ten events has others.
                    None => group = data.group(tenant, (group + 10) % data.events.per_tenant),
                }
            };
            format!("/v1/events?correlation_id={id}")
        },
    },
    Kind {
        query: "GET /v1/events/counts?group_by=event_type&bucket=1h&from=-24h",
        path: |_, _, _| "/v1/events/counts?group_by=event_type&bucket=1h&from=-24h".into(),
    },
    Kind {
        query: "GET /v1/events/counts?group_by=event_type&bucket=1h&from=-7d",
        path: |_, _, _| "/v1/events/counts?group_by=event_type&bucket=1h&from=-7d".into(),
    },
    Kind {
        query: "GET /v1/events/{id}/related",
        path: |data, tenant, random| {
            // One that names its parent: a quarter of all do.
            let mut number = number(data, random);
            while data.event(tenant, number).parent.is_none() {
                number = (number + 1) % data.events.per_tenant;
            }
            format!("/v1/events/{}/related", data.event_id(tenant, number))
        },
    },
    Kind {
        query: "GET /v1/correlations?from=-1h&min_strength=0.8&limit=100",
        path: |_, _, _| "/v1/correlations?from=-1h&min_strength=0.8&limit=100".into(),
    },
    Kind { query: "GET /v1/metrics/catalog?limit=100", path: |_, _, _| "/v1/metrics/catalog?limit=100".into() },
];

/// A random event of a tenant.
fn number(data: &Dataset, random: u64) -> u64 {
    random % data.events.per_tenant
}

/// How long each kind is asked.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// For so long,
    pub time: Duration,
    /// or this often, by all clients together, whichever is first.
    pub requests: u64,
}

/// Asks one kind with `clients` clients; `state` says how the table is.
pub async fn ask(
    target: &Target,
    dataset: Dataset,
    kind: &'static Kind,
    state: &str,
    clients: usize,
    length: Length,
) -> Result<Asked> {
    let (address, host) = (address(&target.url)?, target.url.trim_start_matches("http://").to_owned());
    let keys: Arc<[String]> = target.keys[..dataset.tenants].into();
    let barrier = Arc::new(tokio::sync::Barrier::new(clients + 1));
    let mut workers = tokio::task::JoinSet::new();
    for client in 0..clients {
        let connection = Connection::open(address).await?;
        let (host, keys, barrier) = (host.clone(), Arc::clone(&keys), Arc::clone(&barrier));
        let requests = length.requests.div_ceil(clients as u64);
        workers.spawn(async move {
            let mut asker =
                Asker { connection, address, host, keys, dataset, kind, client, answers: Answers::default() };
            for number in 0..WARM_UP {
                asker.one(number, false).await;
            }
            barrier.wait().await;
            let started = Instant::now();
            for number in WARM_UP..WARM_UP + requests {
                if started.elapsed() > length.time || asker.answers.errors > ERRORS_MAX {
                    break;
                }
                asker.one(number, true).await;
            }
            asker.answers
        });
    }
    barrier.wait().await;
    let meter = Meter::start(target);
    let mut all = Answers::default();
    while let Some(answers) = workers.join_next().await {
        all.merge(answers?);
    }
    Ok(summary(kind.query, state, clients, all, &meter.stop(target)))
}

/// A client.
struct Asker {
    connection: Connection,
    address: std::net::SocketAddr,
    host: String,
    keys: Arc<[String]>,
    dataset: Dataset,
    kind: &'static Kind,
    client: usize,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    times_ms: Vec<f64>,
    rows: Vec<usize>,
    errors: usize,
    first_error: Option<String>,
}

impl Asker {
    async fn one(&mut self, number: u64, counted: bool) {
        // Tenants in turn, each client another one at a time.
        let turn = self.client as u64 * STEP + number;
        let tenant = usize::try_from(turn % self.keys.len() as u64).expect("below a length");
        let random = (number * STEP + self.client as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let path = (self.kind.path)(&self.dataset, tenant, random ^ random >> 29);
        let request = head("GET", &path, &self.host, &self.keys[tenant]) + "\r\n";
        let asked = Instant::now();
        let reply = match self.connection.exchange(request.as_bytes()).await {
            Ok(reply) => reply,
            Err(error) => {
                if let Ok(connection) = Connection::open(self.address).await {
                    self.connection = connection;
                }
                return self.answers.error(format!("{path}: {error}"));
            }
        };
        let time_ms = asked.elapsed().as_secs_f64() * 1000.0;
        if reply.status != 200 {
            let said: String = String::from_utf8_lossy(&reply.body).chars().take(300).collect();
            return self.answers.error(format!("{path} answered {}: {said}", reply.status));
        }
        if counted {
            self.answers.times_ms.push(time_ms);
            if number.is_multiple_of(PARSED) || number == WARM_UP {
                self.answers.rows.extend(rows(&reply.body));
            }
        }
    }
}

/// Rows of an answer: of its list, or of its lists together.
fn rows(body: &[u8]) -> Option<usize> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let lists = |value: &serde_json::Value| -> usize {
        value.as_object().into_iter().flatten().filter_map(|(_, list)| Some(list.as_array()?.len())).sum()
    };
    Some(match &answer["data"] {
        serde_json::Value::Array(list) => list.len(),
        serde_json::Value::Object(_) => lists(&answer["data"]),
        _ => lists(&answer),
    })
}

impl Answers {
    fn error(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }

    fn merge(&mut self, other: Self) {
        self.times_ms.extend(other.times_ms);
        self.rows.extend(other.rows);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

fn summary(query: &str, state: &str, clients: usize, mut answers: Answers, usage: &Usage) -> Asked {
    answers.times_ms.sort_by(f64::total_cmp);
    answers.rows.sort_unstable();
    let count = answers.times_ms.len();
    let time = |permille| percentile(&answers.times_ms, permille).unwrap_or(0.0);
    let cpu_ms = |seconds: f64| seconds * 1000.0 / as_f64(count.max(1) as u64);
    Asked {
        query: query.to_owned(),
        state: state.to_owned(),
        clients,
        count,
        errors: answers.errors,
        first_error: answers.first_error,
        rows: percentile(&answers.rows, 500).unwrap_or(0),
        per_second: as_f64(count as u64) / usage.elapsed_s,
        p50_ms: time(500),
        p95_ms: time(950),
        p99_ms: time(990),
        max_ms: time(1000),
        tidegate_cpu_ms: cpu_ms(usage.tidegate_cpu_s),
        postgres_cpu_ms: cpu_ms(usage.postgres_cpu_s),
    }
}

/// Asks in SQL as the reader, one client, for the seed's patterns, which look through all tenants.
pub async fn ask_in_sql(
    target: &Target,
    dataset: Dataset,
    (query, sql): &Statement,
    state: &str,
    length: Length,
) -> Result<Asked> {
    let client = target.reader().await?;
    let mut answers = Answers::default();
    let mut meter = Meter::start(target);
    let mut started = Instant::now();
    for number in 0..length.requests {
        if number == WARM_UP {
            (meter, started) = (Meter::start(target), Instant::now());
        }
        let tenant = usize::try_from(number).unwrap_or_default() % dataset.tenants;
        let random = (number * STEP + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let asked = Instant::now();
        let rows = client.simple_query(&sql(&dataset, tenant, random)).await?;
        if number >= WARM_UP {
            answers.times_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
            let row = |message: &&tokio_postgres::SimpleQueryMessage| {
                matches!(message, tokio_postgres::SimpleQueryMessage::Row(_))
            };
            answers.rows.push(rows.iter().filter(row).count());
            if started.elapsed() > length.time {
                break;
            }
        }
    }
    Ok(summary(query, state, 1, answers, &meter.stop(target)))
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Span;
    use super::*;

    #[test]
    fn every_kind_asks_for_what_is_there() {
        let span = Span::last_days(7, 1000);
        let dataset = Dataset { tenants: 3, assets: 20, metrics_per_asset: 2, events: span, samples: span };
        let ids: Vec<String> = (0..1000).map(|n| dataset.event_id(1, n).to_string()).collect();
        let correlations: Vec<String> =
            (0..1000).filter_map(|n| Some(dataset.event(1, n).correlation?.to_string())).collect();
        for random in [0, 1, 7, u64::MAX, 0x9E37_79B9_7F4A_7C15, 1 << 40] {
            for kind in &KINDS {
                let path = (kind.path)(&dataset, 1, random);
                let named = |after: &str| {
                    path.split(after).nth(1).map(|rest| rest.split(['&', '/']).next().unwrap_or_default().to_owned())
                };
                assert!(named("correlation_id=").is_none_or(|id| correlations.contains(&id)), "{path}");
                assert!(!kind.query.ends_with("related") || named("/v1/events/").is_some_and(|id| ids.contains(&id)));
                assert!(named("asset_id=").is_none_or(|asset| asset.starts_with("t01-asset-000")), "{path}");
            }
        }
    }

    #[test]
    fn rows_are_those_of_all_lists() {
        assert_eq!(rows(br#"{"data":[1,2],"next_cursor":null}"#), Some(2));
        assert_eq!(rows(br#"{"data":{"parents":[1],"children":[2,3]}}"#), Some(3));
        assert_eq!(rows(br#"{"parents":[1],"children":[2,3],"event":{}}"#), Some(3));
    }
}
