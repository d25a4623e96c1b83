//! Follows cells wherever shards are moved.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;

use super::cells::{Cell, build, cells};
use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::seen::Seen;

/// Between two looks at where the cells are.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Leads the connections of each cell to where its shards are, for as long as the process runs.
pub async fn follow(coordinator: Pool, owner: ConnectionUrl, mut known: Vec<(Cell, Arc<Seen>)>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = look(&coordinator, &owner, &mut known).await {
            tracing::debug!(%error, "it cannot be asked where the cells are");
        }
    }
}

async fn look(coordinator: &Pool, owner: &ConnectionUrl, known: &mut [(Cell, Arc<Seen>)]) -> Result<(), StorageError> {
    let client = coordinator.get().await?;
    for now in cells(&client).await? {
        let Some((cell, seen)) = known.iter_mut().find(|(cell, _seen)| cell.name == now.name) else {
            tracing::error!(
                cell = now.name,
                "a cell is new here: shards were split. Restart this process, which takes requests into its spool until then"
            );
            continue;
        };
        if cell.place == now.place {
            continue;
        }
        build(&client, owner, &now).await?;
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
    Ok(())
}
