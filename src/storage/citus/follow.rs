//! Follows cells wherever shards are moved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::cells::{Cell, build, cells};
use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::seen::Seen;

/// Between two looks at where the cells are.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For making a cell where it is now: what was begun there is waited for.
const BUILD_MAX: Duration = Duration::from_secs(60);

/// Leads the connections of each cell to where its shards are, for as long as the process runs.
pub async fn follow(coordinator: Pool, owner: ConnectionUrl, known: Vec<(Cell, Arc<Seen>)>) {
    let mut followed = Followed { known, told: BTreeSet::new() };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = followed.look(&coordinator, &owner).await {
            tracing::debug!(%error, "it cannot be asked where the cells are");
        }
    }
}

struct Followed {
    known: Vec<(Cell, Arc<Seen>)>,
    /// Names of cells of which something was told that still holds.
    told: BTreeSet<String>,
}

impl Followed {
    async fn look(&mut self, coordinator: &Pool, owner: &ConnectionUrl) -> Result<(), StorageError> {
        let client = coordinator.get().await?;
        let mut moved = Vec::new();
        for now in cells(&client).await? {
            match self.known.iter().position(|(cell, _seen)| cell.name == now.name) {
                Some(n) if self.known[n].0.has_stayed(&now) => {}
                Some(n) => moved.push((n, now)),
                None if self.told.insert(now.name.clone()) => tracing::error!(
                    cell = now.name,
                    "a cell is new here: shards were split. Restart this process, which takes requests into its spool until then"
                ),
                None => {}
            }
        }
        // All at once: a worker that does not answer holds up its own cells alone.
        let client = &client;
        let building = moved.into_iter().map(async |(n, now)| {
            let late =
                || StorageError::retryable(format!("making the cell {} took longer than {BUILD_MAX:?}", now.name));
            let built = timeout(BUILD_MAX, build(client, owner, &now)).await;
            (n, built.unwrap_or_else(|_elapsed| Err(late())), now)
        });
        for (n, built, now) in join_all(building).await {
            self.lead(n, built, now);
        }
        Ok(())
    }

    fn lead(&mut self, n: usize, built: Result<(), StorageError>, now: Cell) {
        if let Err(error) = built {
            if self.told.insert(now.name.clone()) {
                tracing::warn!(%error, cell = now.name, "a cell was moved, and cannot be used where it is now; it is tried again");
            }
            return;
        }
        self.told.remove(&now.name);
        let (cell, seen) = &mut self.known[n];
        let (from, to) = (&cell.place, &now.place);
        tracing::info!(
            cell = now.name,
            from = format!("{}:{}", from.0, from.1),
            to = format!("{}:{}", to.0, to.1),
            "a cell was moved; connections lead to where it is now"
        );
        seen.lead_to(now.place.clone());
        *cell = now;
    }
}
