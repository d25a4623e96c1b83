//! The heartbeat: every second a node writes its row and reads all of them, on a connection of its own.
//!
//! It waits for nothing that ingestion waits for: pools that are exhausted, a spool that fills and a job that hangs do not make
//! a node lost. While the database is away the last picture holds, and with it the node's parts of limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::node::{NodeState, Spooled, list};
use super::picture::{Nodes, Picture};
use super::shares::{Parts, shares};
use crate::config::ConnectionUrl;
use crate::limits::{
    BEAT_EVERY, BEAT_LOOK, BEAT_TIMEOUT, DEMANDS_MAX, NODE_KEPT, NODE_KEPT_WITH_SPOOL, NODE_LOST_AFTER,
    NODES_TIDIED_EVERY,
};
use crate::storage::{KnownDatabase, StorageError, aside};
use crate::tenancy::{Limiter, Shares};

/// How this node stands at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    pub state: NodeState,
    pub spooled: Spooled,
}

impl Own {
    /// What the others are to know at once.
    fn news(&self) -> (NodeState, bool) {
        (self.state, self.spooled.is_nothing())
    }
}

/// What is needed for a heartbeat.
pub struct Means {
    pub nodes: Arc<Nodes>,
    pub owner: ConnectionUrl,
    pub known: Arc<KnownDatabase>,
    pub limiter: Arc<Limiter>,
    /// The newest migration that this program knows.
    pub schema_version: i32,
    pub own: Box<dyn Fn() -> Own + Send + Sync>,
    /// Whether the database is known to be what it must be: before that nothing is written to it.
    pub proven: watch::Receiver<bool>,
}

pub struct Heartbeat {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Heartbeat {
    /// Begins, whether the database is there or not.
    pub fn start(means: Means) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        means.limiter.share(Shares::equal(means.nodes.last_known()));
        let task = tokio::spawn(async move {
            let mut beating = Beating::new(means);
            tokio::select! {
                () = beating.go_on() => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            beating.leave().await;
        });
        Self { stop, task }
    }

    /// Says that this node is gone: its row goes, unless something is left in its spool.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

struct Beating {
    means: Means,
    client: Option<Client>,
    /// Of this process, whose row it is from then on.
    has_begun: bool,
    parts: Parts,
    clock_skew_ms: i64,
    tidied_at: Option<Instant>,
    failed: bool,
}

impl Beating {
    fn new(means: Means) -> Self {
        metrics::counter!("tidegate_node_heartbeat_failures_total").increment(0);
        Self {
            means,
            client: None,
            has_begun: false,
            parts: Parts::default(),
            clock_skew_ms: 0,
            tidied_at: None,
            failed: false,
        }
    }

    async fn go_on(&mut self) {
        if self.means.proven.wait_for(|proven| *proven).await.is_err() {
            return;
        }
        loop {
            let (began, own) = (Instant::now(), (self.means.own)());
            match self.beat(own).await {
                Ok(()) => self.failed = false,
                Err(error) => self.fail(&error),
            }
            while began.elapsed() < BEAT_EVERY {
                tokio::time::sleep(BEAT_LOOK.min(BEAT_EVERY.saturating_sub(began.elapsed()))).await;
                // A database that is away is not asked more often for that.
                if self.client.is_some() && (self.means.own)().news() != own.news() {
                    break;
                }
            }
        }
    }

    fn fail(&mut self, error: &StorageError) {
        self.client = None;
        metrics::counter!("tidegate_node_heartbeat_failures_total").increment(1);
        // An outage is told by the shelter; of the rest one line says it.
        match std::mem::replace(&mut self.failed, true) {
            false if self.has_begun => {
                tracing::warn!(%error, "this node cannot say that it lives; others may take it for lost")
            }
            _ => tracing::debug!(%error, "this node cannot say that it lives"),
        }
    }

    async fn beat(&mut self, own: Own) -> Result<(), StorageError> {
        let client = self.client().await?;
        let beat = tokio::time::timeout(BEAT_TIMEOUT, self.beat_on(client, own));
        beat.await.unwrap_or_else(|_elapsed| Err(StorageError::silence()))
    }

    /// The connection that there is, or another one.
    async fn client(&mut self) -> Result<Client, StorageError> {
        if let Some(client) = self.client.take() {
            return Ok(client);
        }
        let connect = tokio::time::timeout(NODE_LOST_AFTER, self.connect());
        connect.await.unwrap_or_else(|_elapsed| Err(StorageError::silence()))
    }

    async fn beat_on(&mut self, client: Client, own: Own) -> Result<(), StorageError> {
        if !self.write(&client, own).await? {
            self.copied().await;
            self.write(&client, own).await?;
        }
        self.has_begun = true;
        let nodes = list(&client).await?;
        if self.tidied_at.is_none_or(|at| at.elapsed() >= NODES_TIDIED_EVERY) {
            let tidy = include_str!("../../sql/queries/node_tidy.sql");
            client.execute(tidy, &[&NODE_KEPT.as_secs_f64(), &NODE_KEPT_WITH_SPOOL.as_secs_f64()]).await?;
            self.tidied_at = Some(Instant::now());
        }
        self.clock_skew_ms = clock_skew_ms(&client).await?;
        self.client = Some(client);
        self.take_up(Picture { nodes: nodes.into(), at: Instant::now() }).await;
        Ok(())
    }

    async fn connect(&self) -> Result<Client, StorageError> {
        let client = aside(&self.means.owner, "node", BEAT_TIMEOUT).await?;
        self.means.known.check_on(&client).await?;
        Ok(client)
    }

    /// Says how this node stands; false: its row is another process's.
    async fn write(&self, client: &Client, own: Own) -> Result<bool, StorageError> {
        let Means { nodes, schema_version, .. } = &self.means;
        let Spooled { requests, items, bytes, quarantined_files } = own.spooled;
        let [requests, items, bytes, files] =
            [requests, items, bytes, quarantined_files].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let state = own.state.as_str();
        let (config, demands) = (&nodes.config, self.demands());
        let up_s = nodes.started_at.elapsed().as_secs_f64();
        let sql = include_str!("../../sql/queries/node_beat.sql");
        let (id, process, version) = (nodes.id(), nodes.process_id, env!("CARGO_PKG_VERSION"));
        let (name, url, skew_ms, is_first) = (&config.name, &config.url, self.clock_skew_ms, !self.has_begun);
        let values: [&(dyn ToSql + Sync); 15] = [
            &id,
            &process,
            name,
            url,
            &version,
            schema_version,
            &up_s,
            &state,
            &requests,
            &items,
            &bytes,
            &files,
            &skew_ms,
            &demands,
            &is_first,
        ];
        match client.query_opt(sql, &values).await {
            Ok(row) => Ok(row.is_some()),
            // Before the schema is there, or brought up to date.
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                Err(StorageError::retryable("the database has no table of nodes yet"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is asked of keys here, of those of which it matters: as much as could not be served with less than there is here.
    fn demands(&self) -> Value {
        let limiter = &self.means.limiter;
        let mut demands = limiter.demands(Instant::now());
        demands.retain(|demand| {
            let share = limiter.share_of(demand.key_id);
            demand.events.unwrap_or(0.0) >= share.events / 4.0 || demand.bytes.unwrap_or(0.0) >= share.bytes / 4.0
        });
        demands.sort_by(|one, other| other.most().total_cmp(&one.most()));
        demands.truncate(DEMANDS_MAX);
        let rounded = |part: Option<f64>| part.map(|part| (part * 1e4).round() / 1e4);
        let told = demands
            .iter()
            .map(|demand| (demand.key_id.to_string(), json!([rounded(demand.events), rounded(demand.bytes)])));
        Value::Object(told.collect::<Map<String, Value>>())
    }

    /// Another process began later with the same id: the folder was copied. This one goes on as another node.
    async fn copied(&mut self) {
        let identity = Arc::clone(&self.means.nodes.identity);
        let before = identity.id();
        if tokio::task::spawn_blocking(move || identity.renew()).await.is_err() {
            tracing::error!("the node's id could not be replaced; this is a bug");
        }
        self.has_begun = false;
        tracing::warn!(
            before = %before,
            id = %self.means.nodes.id(),
            "another process has this node's id: data_dir was copied; this node goes on with an id of its own"
        );
    }

    async fn take_up(&mut self, picture: Picture) {
        let Means { nodes, limiter, .. } = &self.means;
        let computed = shares(nodes.id(), &picture.nodes);
        limiter.share(self.parts.next(computed));
        for state in NodeState::ALL {
            let count = picture.nodes.iter().filter(|node| node.state == state).count();
            metrics::gauge!("tidegate_nodes", "state" => state.as_str()).set(count as f64);
        }
        metrics::gauge!("tidegate_node_clock_skew_seconds").set(self.clock_skew_ms as f64 / 1e3);
        let serving = picture.nodes.iter().filter(|node| node.id == nodes.id() || node.state.serves()).count();
        let identity = Arc::clone(&nodes.identity);
        nodes.picture.send_replace(Some(picture));
        if identity.nodes() != serving
            && tokio::task::spawn_blocking(move || identity.note_nodes(serving)).await.is_err()
        {
            tracing::error!("the number of nodes could not be kept; this is a bug");
        }
    }

    /// The row goes with the process, unless requests are left that nobody else has.
    async fn leave(mut self) {
        if !self.has_begun {
            return;
        }
        let own = Own { state: NodeState::Draining, ..(self.means.own)() };
        let leave = async {
            let client = self.client().await?;
            if !own.spooled.is_nothing() {
                return self.beat_on(client, own).await;
            }
            let (id, process) = (self.means.nodes.id(), self.means.nodes.process_id);
            let gone = "DELETE FROM tidegate.nodes WHERE node_id = $1 AND process_id = $2";
            client.execute(gone, &[&id, &process]).await?;
            Ok(())
        };
        let left = tokio::time::timeout(BEAT_TIMEOUT, leave).await;
        if let Err(error) = left.unwrap_or_else(|_elapsed| Err(StorageError::silence())) {
            tracing::info!(%error, "this node could not say that it is gone; others see it as lost");
        }
    }
}

/// How far this machine's clock is ahead of the database's, by an answer whose way there and back took equally long.
async fn clock_skew_ms(client: &Client) -> Result<i64, StorageError> {
    let (asked, began) = (Timestamp::now(), Instant::now());
    let theirs: Timestamp = client.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    let halfway = Duration::from_micros(u64::try_from(began.elapsed().as_micros() / 2).unwrap_or(0));
    let ours = asked.as_millisecond() + i64::try_from(halfway.as_millis()).unwrap_or(0);
    Ok(ours - theirs.as_millisecond())
}
