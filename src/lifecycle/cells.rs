//! How the lifecycle of a whole database stands: in each cell, where there are some, and in all of them together.

use tokio_postgres::Client;

use super::growth::own_disk;
use super::plan::plan;
use super::status::{CellStatus, LifecycleStatus, look};
use crate::config::{Config, ConnectionUrl};
use crate::storage::citus::{cells, enter};
use crate::storage::{Layout, StorageError};

impl LifecycleStatus {
    /// How all of it stands, asked on the owner's connection; cells are asked where they are, by the owner's URL.
    pub async fn of(
        client: &Client,
        owner: &ConnectionUrl,
        layout: Layout,
        config: &Config,
    ) -> Result<Self, StorageError> {
        let plan = plan(layout, config);
        let mut status = look(client, layout, &plan, (own_disk(config), !layout.has_cells())).await?;
        if layout.has_cells() {
            let look = async |client: &Client| look(client, layout, &plan, (None, true)).await;
            status.cells = of_each(client, owner, look).await?;
            sum(&mut status);
        }
        Ok(status)
    }
}

/// Asks every cell; one that does not answer keeps none of the others.
async fn of_each(
    coordinator: &Client,
    owner: &ConnectionUrl,
    look: impl AsyncFn(&Client) -> Result<LifecycleStatus, StorageError>,
) -> Result<Vec<CellStatus>, StorageError> {
    let mut all = Vec::new();
    for cell in cells(coordinator).await? {
        let asked = async { look(&enter(owner, &cell).await?).await };
        let (status, error) = match asked.await {
            Ok(status) => (Some(Box::new(status)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        all.push(CellStatus { worker: cell.worker(), cell: cell.name, error, status });
    }
    Ok(all)
}

/// Tells what cells have together where one server would say it: bytes, quotas, and of each rollup the cell that is furthest behind.
fn sum(of_all: &mut LifecycleStatus) {
    let asked: Vec<&LifecycleStatus> = of_all.cells.iter().filter_map(|cell| cell.status.as_deref()).collect();
    for relation in &mut of_all.relations {
        let own = asked.iter().flat_map(|status| &status.relations).filter(|own| own.relation == relation.relation);
        relation.bytes = own.map(|own| own.bytes).sum();
    }
    for rollup in asked.iter().flat_map(|status| &status.rollups) {
        match of_all.rollups.iter_mut().find(|known| known.relation == rollup.relation) {
            Some(known) => {
                known.waiting += rollup.waiting;
                known.waiting_s = later(known.waiting_s, rollup.waiting_s);
                if rollup.stored_until < known.stored_until {
                    (known.stored_until, known.lag_s) = (rollup.stored_until, rollup.lag_s);
                }
            }
            None => of_all.rollups.push(rollup.clone()),
        }
    }
    for over in asked.iter().flat_map(|status| &status.over_quota) {
        match of_all.over_quota.iter_mut().find(|known| known.what == over.what) {
            Some(known) => {
                known.organizations += over.organizations;
                known.refused += over.refused;
                known.since = known.since.min(over.since);
            }
            None => of_all.over_quota.push(over.clone()),
        }
    }
}

fn later(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}
