//! Whether the log goes on where the sequencer left it: it is repaired after a restore, and another epoch begins where what
//! consumers have read may be gone.

use std::sync::atomic::{AtomicI64, Ordering};

use deadpool_postgres::Object;

use super::append::{Appended, REPAIR};
use crate::storage::StorageError;

const PLACE: &str = include_str!("../../sql/queries/log_place.sql");
const BEGIN: &str = include_str!("../../sql/queries/log_epoch.sql");
/// One snapshot for what is stored, what is logged, and the tick that says so; taken once the lock is held.
const TRANSACTION: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '10s'; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE";

/// Where the sequencer works, as the database says it, and how that stands to the newest tick.
struct Place {
    system_identifier: String,
    timeline: String,
    standing: Standing,
    /// The newest tick; None: there is none.
    tick: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    /// The cluster went on from a moment that may lie before what was read of it: it says so itself, an operator has said so
    /// (`storage::known`), or this process has seen newer ticks.
    OtherTimeline,
    /// Its transactions are not those that the newest tick speaks of.
    Other,
}

/// Looks where it works. With `repair`, or where the newest tick is of another cluster, what is stored and not logged is
/// appended. `seen` is the newest tick that this process knows of.
pub async fn settle(client: &Object, repair: bool, seen: &AtomicI64) -> Result<Option<Appended>, StorageError> {
    let place = Place::find(client, seen).await?;
    seen.fetch_max(place.tick.unwrap_or(i64::MIN), Ordering::Relaxed);
    if place.standing == Standing::Same && !repair {
        return Ok(None);
    }
    client.batch_execute(TRANSACTION).await?;
    // Another node may have been faster.
    let place = Place::find(client, seen).await?;
    let done = match place.standing {
        Standing::Same if !repair => None,
        Standing::OtherTimeline if !repair => {
            let epoch =
                begin(client, &place, "the database went on from an earlier moment, or on another server").await?;
            let note = "INSERT INTO sequencer_ticks (snapshot, system_identifier, timeline, epoch) \
                        SELECT snapshot, system_identifier, $1, $2 FROM sequencer_ticks ORDER BY tick DESC LIMIT 1";
            client.execute(note, &[&place.timeline, &epoch]).await?;
            None
        }
        Standing::Same | Standing::OtherTimeline | Standing::Other => Some(append_all(client, &place).await?),
    };
    client.batch_execute("COMMIT").await?;
    seen.store(place.tick.unwrap_or(i64::MIN), Ordering::Relaxed);
    Ok(done)
}

/// Another epoch: what the log had given out elsewhere since this copy was made has other offsets here.
async fn append_all(client: &Object, place: &Place) -> Result<Appended, StorageError> {
    let epoch = begin(client, place, "the log is this database's first one, or came with a restored one").await?;
    // Nobody needs to be told of it at once, and it must not fail for that.
    let row = client.query_opt(&REPAIR.silent, &[&place.system_identifier, &place.timeline, &epoch]).await?;
    let appended = Appended::of(row.as_ref());
    tracing::info!(
        epoch,
        batches = appended.batches,
        events = appended.events,
        "what was stored and not logged is logged"
    );
    Ok(appended)
}

async fn begin(client: &Object, place: &Place, why: &str) -> Result<i64, StorageError> {
    let epoch: i64 = client.query_one(BEGIN, &[]).await?.get(0);
    let Place { system_identifier, timeline, .. } = place;
    tracing::info!(epoch, system_identifier, timeline, why, "the logs of streams begin an epoch");
    Ok(epoch)
}

impl Place {
    async fn find(client: &Object, seen: &AtomicI64) -> Result<Self, StorageError> {
        let row = client.query_one(PLACE, &[]).await?;
        let (has_tick, same, same_timeline, ahead): (bool, bool, bool, bool) =
            (row.get(2), row.get(3), row.get(4), row.get(5));
        let tick: Option<i64> = row.get(6);
        let went_back = tick < Some(seen.load(Ordering::Relaxed));
        let standing = match (has_tick && same && !ahead, same_timeline && !went_back) {
            (false, _) => Standing::Other,
            (true, false) => Standing::OtherTimeline,
            (true, true) => Standing::Same,
        };
        Ok(Self { system_identifier: row.get(0), timeline: row.get(1), standing, tick })
    }
}
