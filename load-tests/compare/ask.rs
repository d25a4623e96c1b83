//! Reads by several clients at once, as many dashboards do: each on its own connection, for another tenant and another
//! asset each time, the next as soon as the last is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderValue};
use tidegate::load::{Connection, Endpoint, Latencies};

use super::common::{Result, as_f64, per_row};
use super::dataset::Dataset;
use super::figures::Figures;
use super::meter::Meter;
use super::reads::Read;
use super::sender::{TIMEOUT, bearer};
use super::target::Target;

/// Each client's first answers are not counted: connections of the pool open, and caches fill.
const WARM_UP: u64 = 3;
/// One answer in so many is parsed, to see how many rows it has: parsing costs the same two cores.
const PARSED: u64 = 16;
/// An odd prime, for random numbers of each client.
const STEP: u64 = 7_919;
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The path of a read, for a tenant and from a random number.
pub type PathOf = dyn Fn(usize, u64) -> String + Send + Sync;

/// How long each kind is asked.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// For so long,
    pub time: Duration,
    /// or this often, by all clients together, whichever is first.
    pub requests: u64,
}

/// Asks one kind with `clients` clients; `state` says how the table is. A kind that is refused even once has no figures.
pub async fn ask(
    target: &Target,
    dataset: Dataset,
    read: &Read,
    state: &str,
    clients: usize,
    length: Length,
    figures: &mut Figures,
) -> Result<()> {
    let path = read.path;
    let path: Arc<PathOf> = Arc::new(move |tenant, random| path(&dataset, tenant, random));
    ask_paths(target, dataset.tenants, (read.name, path), state, clients, length, figures).await
}

/// The same, of the first `tenants` tenants and of paths that are made here.
pub async fn ask_paths(
    target: &Target,
    tenants: usize,
    (kind, path): (&str, Arc<PathOf>),
    state: &str,
    clients: usize,
    length: Length,
    figures: &mut Figures,
) -> Result<()> {
    let barrier = Arc::new(tokio::sync::Barrier::new(clients + 1));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..clients as u64 {
        let mut asker = Asker {
            connection: Connection::new(Arc::clone(&target.endpoint)).with_answers_of(ANSWER_BYTES_MAX),
            endpoint: Arc::clone(&target.endpoint),
            keys: target.keys[..tenants].iter().map(|key| bearer(key)).collect::<Result<_>>()?,
            path: Arc::clone(&path),
            number,
        };
        let (barrier, requests) = (Arc::clone(&barrier), length.requests.div_ceil(clients as u64));
        workers.spawn(async move {
            let mut warm = Answers::default();
            for turn in 0..WARM_UP {
                asker.one(turn, &mut warm).await?;
            }
            barrier.wait().await;
            let (started, mut answers) = (Instant::now(), Answers::default());
            for turn in WARM_UP..WARM_UP + requests {
                if started.elapsed() > length.time {
                    break;
                }
                asker.one(turn, &mut answers).await?;
            }
            Result::Ok(answers)
        });
    }
    let name = format!("{kind}, {state}, {clients} client{}", if clients == 1 { "" } else { "s" });
    let (mut all, mut meter) = (Answers::default(), None);
    loop {
        tokio::select! {
            _ = barrier.wait(), if meter.is_none() => meter = Some(Meter::start(target)),
            answers = workers.join_next() => match answers {
                None => break,
                Some(Ok(Ok(answers))) => all.merge(&answers),
                Some(failed) => {
                    let why = failed?.err().map(|error| error.to_string());
                    figures.fail(format!("{name}: {}", why.unwrap_or_default()));
                    return Ok(());
                }
            }
        }
    }
    let usage = meter.ok_or("nobody asked")?.stop(target);
    let (count, ms) = (all.latencies.count(), all.latencies.ms());
    let values = [
        ("p50 ms", ms.p50),
        ("p95 ms", ms.p95),
        ("p99 ms", ms.p99),
        ("rows", per_row(as_f64(all.rows), all.parsed)),
        ("answers/s", usage.rate(count)),
        ("Tidegate ms/answer", per_row(usage.tidegate_cpu_s * 1000.0, count)),
        ("PostgreSQL ms/answer", per_row(usage.postgres_cpu_s * 1000.0, count)),
    ];
    figures.add_all(&name, &values);
    Ok(())
}

#[derive(Default)]
struct Answers {
    latencies: Latencies,
    /// Of the answers that were parsed.
    rows: u64,
    parsed: u64,
}

impl Answers {
    fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.rows += other.rows;
        self.parsed += other.parsed;
    }
}

/// A client.
struct Asker {
    connection: Connection,
    endpoint: Arc<Endpoint>,
    keys: Vec<HeaderValue>,
    path: Arc<PathOf>,
    number: u64,
}

impl Asker {
    async fn one(&mut self, turn: u64, answers: &mut Answers) -> Result<()> {
        // Tenants in turn, each client another one at a time.
        let tenant = usize::try_from((self.number * STEP + turn) % self.keys.len() as u64)?;
        let random = (turn * STEP + self.number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let path = (self.path)(tenant, random ^ random >> 29);
        let request = Request::get(self.endpoint.path(&path)?).header(AUTHORIZATION, &self.keys[tenant]);
        let request = request.body(Full::<Bytes>::default())?;
        let asked = Instant::now();
        let reply = self.connection.send(request, TIMEOUT).await?;
        answers.latencies.record(asked.elapsed());
        if reply.status != 200 {
            let said: String = String::from_utf8_lossy(&reply.body).chars().take(300).collect();
            return Err(format!("{path} answered {}: {said}", reply.status).into());
        }
        if turn.is_multiple_of(PARSED) || turn == WARM_UP {
            answers.rows += rows(&reply.body)? as u64;
            answers.parsed += 1;
        }
        Ok(())
    }
}

/// Rows of an answer: of its list, or of its lists together.
fn rows(body: &[u8]) -> Result<usize> {
    let answer: serde_json::Value = serde_json::from_slice(body)?;
    let lists = |value: &serde_json::Value| -> usize {
        value.as_object().into_iter().flatten().filter_map(|(_, list)| Some(list.as_array()?.len())).sum()
    };
    Ok(match &answer["data"] {
        serde_json::Value::Array(list) => list.len(),
        serde_json::Value::Object(_) => lists(&answer["data"]),
        _ => lists(&answer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_all_lists() {
        let rows = |body: &str| rows(body.as_bytes()).expect("JSON");
        assert_eq!(rows(r#"{"data":[1,2],"next_cursor":null}"#), 2);
        assert_eq!(rows(r#"{"data":{"parents":[1],"children":[2,3]}}"#), 3);
        assert_eq!(rows(r#"{"parents":[1],"children":[2,3],"event":{}}"#), 3);
    }
}
