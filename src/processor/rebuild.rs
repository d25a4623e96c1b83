//! Computing the tables of a projection again from the events that are stored, beside live traffic.
//!
//! All events are read into a copy, while the live tables are kept up and read as usual. When the copy has come as far as the log,
//! the live tables are made what it is: in one transaction, under the lock under which the processor writes, so that readers see
//! the one or the other. The processor goes on from where the copy came to. A run that is cut short leaves nothing.

use std::collections::HashMap;

use deadpool_postgres::{Object, Pool};

use super::apart::take;
use super::apply::Target;
use super::begin::{begin, begin_projection, has_begun, hold};
use super::look::{Following, Position, look, understand};
use super::shadow;
use super::statements::Place;
use crate::limits::{PROJECTION_REBUILD_PASSES, PROJECTION_REBUILD_REST};
use crate::projections;
use crate::storage::StorageError;
use crate::storage::locks::Lease;

/// Held by a rebuild: two at once would do the same.
const LOCK: &str = "lock_rebuild";

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rebuilt {
    pub streams_done: usize,
    pub streams: usize,
    /// Events of the projection's types that were read.
    pub events: u64,
    /// Events that it cannot take: dead letters, if they are kept.
    pub unfit: u64,
    /// Rows that are as events told which have expired.
    pub kept: u64,
    /// Rows that were not what they should have been, or were missing, or too many. Known at the end.
    pub differing: u64,
}

/// Where the copy is in each stream.
type Positions = HashMap<(String, String), Position>;

/// Computes the tables of a projection again; `progress` is told after each look. With `all` batches are read that the log says
/// do not concern the projection.
pub async fn rebuild(
    owner: &Pool,
    name: &str,
    all: bool,
    assets_max: usize,
    mut progress: impl FnMut(Rebuilt),
) -> Result<Rebuilt, StorageError> {
    let Some((projection, bit)) = projections::named(name) else {
        return Err(StorageError::fatal(format!("no projection is called {name}")));
    };
    let Some(lease) = Lease::try_take(owner, LOCK).await? else {
        return Err(StorageError::retryable("another rebuild is under way; begin this one when it is done"));
    };
    let client = owner.get().await?;
    let mut copy = Copy {
        of: projection,
        bit,
        all,
        shared_rows_max: i64::try_from(assets_max).unwrap_or(i64::MAX),
        begins: shadow::Begins::new(),
        positions: Positions::new(),
        rebuilt: Rebuilt::default(),
    };
    let run = tokio::select! {
        run = copy.run(&client, &mut progress) => run,
        () = lease.lost() => Err(StorageError::retryable("the connection that held the lock of rebuilds ended")),
    };
    // With its temporary tables, and whatever transaction is open.
    drop(Object::take(client));
    run?;
    lease.end().await;
    Ok(copy.rebuilt)
}

struct Copy {
    of: &'static projections::Projection,
    bit: i32,
    all: bool,
    shared_rows_max: i64,
    /// Where streams began when the copy was made: what is before is in it, what is behind is read.
    begins: shadow::Begins,
    positions: Positions,
    rebuilt: Rebuilt,
}

impl Copy {
    async fn run(&mut self, client: &Object, progress: &mut impl FnMut(Rebuilt)) -> Result<(), StorageError> {
        if !has_begun(client, self.of.name).await? {
            begin_projection(client, self.of.name).await?;
        }
        self.begins = shadow::begins(client).await?;
        self.rebuilt.kept = shadow::make(client, self.of, &self.begins).await?;
        for _ in 0..PROJECTION_REBUILD_PASSES {
            let before = self.rebuilt.events;
            self.pass(client, true, progress).await?;
            if self.rebuilt.events - before < PROJECTION_REBUILD_REST {
                break;
            }
        }
        // What has come meanwhile is little, and the processor waits for it.
        begin(client).await?;
        hold(client, self.of.name).await?;
        self.pass(client, false, progress).await?;
        self.rebuilt.differing = shadow::take_over(client, self.of).await?;
        self.hand_over(client).await?;
        client.batch_execute("COMMIT").await?;
        Ok(())
    }

    /// Goes on in every stream to where its log ends.
    async fn pass(
        &mut self,
        client: &Object,
        is_apart: bool,
        progress: &mut impl FnMut(Rebuilt),
    ) -> Result<(), StorageError> {
        let streams = client.query(include_str!("../../sql/queries/projection_streams.sql"), &[]).await?;
        (self.rebuilt.streams, self.rebuilt.streams_done) = (streams.len(), 0);
        for row in streams {
            let (tenant_id, stream): (String, String) = (row.get(0), row.get(1));
            self.stream(client, &tenant_id, &stream, is_apart, progress).await?;
            self.rebuilt.streams_done += 1;
            progress(self.rebuilt);
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        client: &Object,
        tenant_id: &str,
        stream: &str,
        is_apart: bool,
        progress: &mut impl FnMut(Rebuilt),
    ) -> Result<(), StorageError> {
        let of = Following { projection: self.of, bit: self.bit, tenant_id, stream };
        let key = (tenant_id.to_owned(), stream.to_owned());
        let mut at = match self.positions.get(&key) {
            Some(at) => *at,
            None => {
                let committed = self.begins.get(&key).copied().unwrap_or(0);
                Position { committed, all_before: all_before(client, of).await? }
            }
        };
        loop {
            let found = look(client, of, at, self.all).await?;
            if found.next == at {
                break;
            }
            self.rebuilt.events += found.events.len() as u64;
            let understood = understand(of, found.events);
            self.rebuilt.unfit += understood.unfit.len() as u64;
            if is_apart {
                begin(client).await?;
            }
            let tables = self.of.tables;
            let target = Target { tables, place: Place::Shadow, tenant_id, shared_rows_max: self.shared_rows_max };
            self.rebuilt.unfit += take(client, target, &understood.sayings).await?.refused.len() as u64;
            if is_apart {
                client.batch_execute("COMMIT").await?;
            }
            at = found.next;
            progress(self.rebuilt);
        }
        self.positions.insert(key, at);
        Ok(())
    }

    /// The processor goes on from where the copy is.
    async fn hand_over(&self, client: &Object) -> Result<(), StorageError> {
        let (mut tenants, mut streams, mut committed) = (Vec::new(), Vec::new(), Vec::new());
        for ((tenant_id, stream), at) in &self.positions {
            tenants.push(tenant_id);
            streams.push(stream);
            committed.push(at.committed);
        }
        let hand_over = include_str!("../../sql/queries/projection_hand_over.sql");
        client.execute(hand_over, &[&self.of.name, &tenants, &streams, &committed]).await?;
        Ok(())
    }
}

/// Before which offset all of a stream is to be looked at.
async fn all_before(client: &Object, of: Following<'_>) -> Result<i64, StorageError> {
    let sql = "SELECT all_before FROM projection_offsets WHERE projection = $1 AND tenant_id = $2 AND stream = $3";
    let row = client.query_opt(sql, &[&of.projection.name, &of.tenant_id, &of.stream]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}
