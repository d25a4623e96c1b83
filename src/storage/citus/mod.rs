//! Citus: tenants' rows are in cells, each a set of shards on one worker.
//!
//! The relations are spread by tenant, and those of a range of hashes are always together (`sql/citus/distribute.sql`). On
//! the worker that has them, a cell is a schema in which everything has its own name (`sql/citus/cell.sql`): for who works
//! there it is a database like any other, of some of the tenants. So ingestion, jobs and reads go to the cell's worker and are
//! transactions of that one server. The coordinator has what is of people and keys, and whatever changes relations. Where cells
//! are is asked every second ([`follow`]): when one was moved, connections lead to where it is now.

mod cells;
mod differs;
mod follow;

use tokio_postgres::Client;

use super::StorageError;
pub use cells::{Cell, Recipe, build, build_all, cells, enter};
pub use differs::{Differs, differs, mend};
pub use follow::follow;

const FUNCTIONS: &str = include_str!("../../../sql/citus/functions.sql");
const DISTRIBUTE: &str = include_str!("../../../sql/citus/distribute.sql");

/// Why the layout can be made here, or what is missing.
pub async fn require(client: &Client) -> Result<String, StorageError> {
    let there = "SELECT extversion FROM pg_extension WHERE extname = 'citus'";
    let Some(row) = client.query_opt(there, &[]).await? else {
        return Err(StorageError::not_ready(
            "engine = citus is configured, but the extension is not in this database: make it on every node (CREATE EXTENSION \
             citus), name the coordinator (citus_set_coordinator_host) and add the workers (citus_add_node)",
        ));
    };
    let version: &str = row.get(0);
    let nodes = "SELECT count(*) FILTER (WHERE shouldhaveshards AND isactive AND hasmetadata AND metadatasynced), \
                 EXISTS (SELECT FROM pg_dist_local_group WHERE groupid = 0) FROM pg_dist_node WHERE noderole = 'primary'";
    let row = client.query_one(nodes, &[]).await?;
    let (workers, is_coordinator): (i64, bool) = (row.get(0), row.get(1));
    if !is_coordinator {
        return Err(StorageError::not_ready("database_url leads to a worker of Citus: it must name the coordinator"));
    }
    if workers == 0 {
        return Err(StorageError::not_ready(
            "no node of Citus takes shards: add workers on the coordinator, SELECT citus_add_node(host, port)",
        ));
    }
    Ok(format!("Citus {version}, {workers} nodes with shards"))
}

/// Spreads what is not spread yet; run after migrations, under the installers' lock.
pub async fn spread(client: &Client, cells: u32) -> Result<(), StorageError> {
    client.batch_execute(&format!("SET tidegate.shards = '{cells}'")).await?;
    // Each by itself: in one transaction Citus refuses the one after the other.
    for sql in [FUNCTIONS, DISTRIBUTE] {
        let done = client.batch_execute(sql).await;
        done.map_err(|error| StorageError::from(error).doing("spreading the relations over workers"))?;
    }
    Ok(())
}
