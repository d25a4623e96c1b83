//! Projections: what the event processor costs while events of other types come at 100,000 a second; how fast events of deployments
//! become rows, and are computed again; and the nearest of 100,000 embeddings, as pgvector's vectors and as arrays.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::model::Kind;
use tidegate::processor;
use tidegate::projections::{Projection, concerns, named};

use super::ask::{PathOf, ask_paths};
use super::common::{Result, as_f64, per_row};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::meter::Meter;
use super::options::Options;
use super::proc;
use super::runs::Run;
use super::sender::Sender;
use super::target::Target;
use super::templates::Template;

/// Events a second that the goal speaks of.
const RATE: f64 = 100_000.0;
/// Asked so often what a type concerns.
const ASKED: u64 = 20_000_000;
/// As most events are called.
const OTHER: &str = "request.completed";
const BATCH: u64 = 500;
/// The processor's own session: between two statements it shows the last one. Each of its runs may have another.
const SESSION: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%FROM projection_queue%' \
                       AND pid <> pg_backend_pid()";
/// Between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Embeddings of random directions.
const EMBEDDINGS: &str = "INSERT INTO resource_action_traces (tenant_id, id, action_id, action_history_id, action_type, action_timestamp, \
     execution_status, created_at, updated_at, event_id, event_stream, event_offset, told_by, embedding) \
     SELECT $1, n, 'a-' || n, 1, 'restart', now() - n * INTERVAL '1 second', 'succeeded', now(), now(), gen_random_uuid(), 's', n, '[]', \
            (SELECT array_agg((random() - 0.5)::real) FROM generate_series(1, 768) WHERE n > 0) \
     FROM generate_series($2::bigint, $3::bigint) n";
/// As the migration makes them where there is no pgvector.
const AS_ARRAYS: &str = "DROP VIEW actions; ALTER TABLE resource_action_traces ALTER COLUMN embedding TYPE real[] USING embedding::real[], \
     ALTER COLUMN embedding SET STORAGE MAIN";

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    other_types(target, options, figures).await?;
    deployments(target, options, figures).await?;
    nearest(target, options, figures).await
}

/// What it costs that there is a processor, where nothing concerns it.
async fn other_types(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let started = Instant::now();
    let mut concerned = 0;
    for _ in 0..ASKED {
        concerned += concerns(std::hint::black_box(OTHER));
    }
    let asking_ns = started.elapsed().as_secs_f64() * 1e9 / as_f64(ASKED);
    if concerned != 0 {
        return Err(format!("{OTHER} concerns a projection").into());
    }
    figures.add("asking what a type concerns", "ns/event", asking_ns);
    target.fresh().await?;
    let length = options.short();
    let feed = Feed::pool(1000, Until::Elapsed(length)).paced(RATE);
    let mut session = Session::default();
    let run = tokio::select! {
        run = Run::of(target, feed, options.connections) => run?,
        watched = session.watch(target) => return Err(watched.expect_err("it goes on until it is stopped")),
    };
    run.add(figures, "events of other types");
    let session_share = session.share()?;
    target.check_stored(Kind::Events.table(), run.sent.accepted()).await?;
    let looked = target.count("SELECT count(*) FROM projection_offsets").await?;
    if looked > 0 {
        figures.fail(format!("{looked} streams were looked at"));
    }
    let rate = run.rate();
    figures.add("the processor beside them", "events/s", rate);
    figures.add("the processor beside them", "% of a core, its session", session_share * 100.0);
    figures.add("the processor beside them", "% of a core, asking", asking_ns * rate / 1e7);
    let percent = session_share * 100.0 + asking_ns * RATE / 1e7;
    figures.add("the processor at 100,000 events/s of other types", "% of a core", percent);
    Ok(())
}

/// The processor time of the sessions that the processor has one after the other.
#[derive(Default)]
struct Session {
    seen: HashMap<u32, f64>,
    used_s: f64,
    watched: Duration,
}

impl Session {
    async fn watch(&mut self, target: &Target) -> Result<Infallible> {
        let mut looked = Instant::now();
        loop {
            let pids = target.owner.query(SESSION, &[]).await?;
            let pids = pids.iter().map(|row| row.get::<_, i32>(0).unsigned_abs());
            let now: HashMap<u32, f64> = pids.map(|pid| (pid, proc::cpu_seconds(pid))).collect();
            self.used_s += now.iter().filter_map(|(pid, used_s)| Some(used_s - self.seen.get(pid)?)).sum::<f64>();
            if now.keys().any(|pid| self.seen.contains_key(pid)) {
                self.watched += looked.elapsed();
            }
            (self.seen, looked) = (now, Instant::now());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Of a core, over the time in which it was seen.
    fn share(&self) -> Result<f64> {
        if self.watched.is_zero() {
            return Err("the session of the processor was not found".into());
        }
        Ok(self.used_s / self.watched.as_secs_f64())
    }
}

/// Events that become rows: four of each deployment.
async fn deployments(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let events: u64 = if options.quick { 10_000 } else { 200_000 };
    target.fresh().await?;
    let body = |first: u64| {
        let lines = (first..first + BATCH).map(|n| {
            let kind = ["started", "succeeded", "failed", "rolled_back"][usize::try_from(n % 4).expect("a remainder")];
            format!(
                "{{\"event_type\":\"deployment.{kind}\",\"source_module\":\"ci\",\"payload\":{{\"deployment_id\":\"d-{}\",\"service\":\"s-{}\",\"version\":\"{n}\"}}}}\n",
                n / 4,
                n % 100
            )
        });
        Template::fixed(lines.collect::<String>().into_bytes(), BATCH)
    };
    let bodies: Vec<Template> = (0..events / BATCH).map(|n| body(n * BATCH)).collect();
    let requests = bodies.len() as u64;
    let sender = Sender::new(target, Kind::Events, &target.keys)?;
    let meter = Meter::start(target);
    let sent = sender.send(Feed::in_turn(bodies, 1, Until::Requests(requests)), options.connections).await?;
    let waiting = "SELECT count(*) FROM projection_queue";
    while target.count("SELECT count(*) FROM deployments").await? < events / 4 || target.count(waiting).await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    meter.stop(target).add(figures, "events of deployments, until they are rows", "event", sent.accepted());
    let owner = target.owner_pool()?;
    for projection in [named("deployments"), named("services")].into_iter().flatten().map(|(projection, _)| projection)
    {
        let Projection { name, .. } = projection;
        let started = Instant::now();
        let rebuilt = processor::rebuild(&owner, name, false, 1_000_000, |_| {}).await?;
        figures.add(
            &format!("rebuild of {name}"),
            "events/s",
            as_f64(rebuilt.events) / started.elapsed().as_secs_f64(),
        );
        if rebuilt.differing > 0 {
            figures.fail(format!("rebuild of {name}: {} rows were others", rebuilt.differing));
        }
    }
    owner.close();
    Ok(())
}

/// The nearest ten of 100,000.
async fn nearest(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let rows: u64 = if options.quick { 2_000 } else { 100_000 };
    target.fresh().await?;
    let last = i64::try_from(rows)?;
    for first in (1..=last).step_by(10_000) {
        let until = (first + 9_999).min(last);
        target.owner.execute(EMBEDDINGS, &[&target.tenants[0], &first, &until]).await?;
    }
    target.owner.batch_execute("VACUUM (ANALYZE) resource_action_traces").await?;
    let bytes = target.count("SELECT pg_total_relation_size('resource_action_traces')").await?;
    figures.add("actions with embeddings", "bytes/row", per_row(as_f64(bytes), rows));
    let path: Arc<PathOf> =
        Arc::new(move |_, random| format!("/v1/actions?similar_to=a-{}&limit=10", random % rows + 1));
    let has_vectors = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'tidegate.resource_action_traces'::regclass \
                       AND attname = 'embedding' AND atttypid::regtype::text = 'vector'";
    if target.count(has_vectors).await? == 1 {
        ask_paths(
            target,
            1,
            ("nearest 10 of 100,000 embeddings", Arc::clone(&path)),
            "pgvector",
            1,
            options.reads(),
            figures,
        )
        .await?;
        index(target, last, figures).await?;
        let view: String =
            target.owner.query_one("SELECT pg_get_viewdef('tidegate.actions'::regclass)", &[]).await?.get(0);
        target
            .owner
            .batch_execute(&format!(
                "{AS_ARRAYS}; CREATE VIEW actions AS {view}; GRANT SELECT ON actions TO tidegate_reader"
            ))
            .await?;
        target.owner.batch_execute("VACUUM (ANALYZE) resource_action_traces").await?;
    }
    ask_paths(target, 1, ("nearest 10 of 100,000 embeddings", path), "arrays", 1, options.reads(), figures).await
}

/// What an index of pgvector's would cost, and find: it is not part of the schema.
async fn index(target: &Target, last: i64, figures: &mut Figures) -> Result<()> {
    let owner = &target.owner;
    let asked = "SELECT ARRAY(SELECT id FROM resource_action_traces WHERE tenant_id = $1 ORDER BY embedding <=> \
                 (SELECT embedding FROM resource_action_traces WHERE tenant_id = $1 AND id = $2) LIMIT 10)";
    let mut exact = Vec::new();
    let ids: Vec<i64> = (1..=20).map(|n| n * last / 20).collect();
    for id in &ids {
        exact.push(owner.query_one(asked, &[&target.tenants[0], id]).await?.get::<_, Vec<i64>>(0));
    }
    let started = Instant::now();
    owner.batch_execute("SET maintenance_work_mem = '1GB'; CREATE INDEX measured ON resource_action_traces USING hnsw (embedding vector_cosine_ops)").await?;
    figures.add("an HNSW index of 100,000 embeddings", "s to build", started.elapsed().as_secs_f64());
    let (started, mut found) = (Instant::now(), 0);
    for (id, exact) in ids.iter().zip(&exact) {
        let near: Vec<i64> = owner.query_one(asked, &[&target.tenants[0], id]).await?.get(0);
        found += near.iter().filter(|id| exact.contains(id)).count();
    }
    let count = as_f64(ids.len() as u64);
    figures.add("an HNSW index of 100,000 embeddings", "ms/answer", started.elapsed().as_secs_f64() * 1000.0 / count);
    figures.add("an HNSW index of 100,000 embeddings", "of ten found", as_f64(found as u64) / count);
    Ok(owner.batch_execute("DROP INDEX measured").await?)
}
