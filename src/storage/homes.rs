//! Where tenants' rows are: in the one database, or in the cells of Citus, each of which is a database of its own.

use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio_postgres::Client;

use super::citus::{Cell, build, build_all, cells, enter, follow};
use super::connect::{Role, pool};
use super::database::{COMMAND_CONNECTIONS, Database, Location};
use super::seen::{Seen, View};
use super::{Layout, StorageError, standing_layout};
use crate::config::{Config, ConnectionUrl};
use crate::model::tenant_hash;

/// The databases of all tenants.
#[derive(Clone)]
pub struct Homes {
    /// What is of no tenant's data: keys, people, definitions, and whatever changes relations.
    pub control: Database,
    /// In the order of their hashes; none: the control database is everybody's home.
    cells: Arc<Vec<(Cell, Database, Arc<Seen>)>>,
    owner: ConnectionUrl,
}

impl Homes {
    /// Opens what there is beside the control database.
    pub async fn open(control: Database, location: &Location, config: &Config) -> Result<Self, StorageError> {
        let mut homes = Vec::new();
        if control.installed.layout.has_cells() {
            let client = control.owner.get().await?;
            for cell in build_all(&client, location.owner()).await? {
                let seen = Arc::new(Seen::default());
                seen.lead_to(cell.place.clone());
                let database = control.of_cell(location, config, &cell, &seen)?;
                homes.push((cell, database, seen));
            }
        }
        Ok(Self { control, cells: Arc::new(homes), owner: location.owner().clone() })
    }

    /// How many homes there are.
    pub fn count(&self) -> usize {
        self.cells.len().max(1)
    }

    /// The name of a home that is a cell.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.cells.get(number).map(|(cell, ..)| cell.name.as_str())
    }

    /// Which home a tenant has, below [`Self::count`].
    pub fn of(&self, tenant_id: &str) -> usize {
        if self.cells.is_empty() {
            return 0;
        }
        let hash = tenant_hash(tenant_id);
        self.cells.partition_point(|(cell, ..)| cell.last_hash < hash).min(self.cells.len() - 1)
    }

    /// All homes, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Database> {
        let one = self.cells.is_empty().then_some(&self.control);
        one.into_iter().chain(self.cells.iter().map(|(_cell, database, _seen)| database))
    }

    /// Follows homes that move; None: there is one, and it stays.
    pub fn follow(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.cells.is_empty() {
            return None;
        }
        let known = self.cells.iter().map(|(cell, _database, seen)| (cell.clone(), Arc::clone(seen)));
        Some(follow(self.control.owner.clone(), self.owner.clone(), known.collect()))
    }

    /// Closes all pools; connections in use end when they are given back.
    pub fn close(&self) {
        self.control.close();
        self.cells.iter().for_each(|(_cell, database, _seen)| database.close());
    }
}

/// Small pools of the owner's, for commands that do a job's work: one for each database in which tenants' rows are; `owner` is that
/// of the one that is named.
pub async fn home_pools(location: &Location, owner: &Pool, layout: Layout) -> Result<Vec<Pool>, StorageError> {
    if !layout.has_cells() {
        return Ok(vec![owner.clone()]);
    }
    let client = owner.get().await?;
    let mut pools = Vec::new();
    for cell in build_all(&client, location.owner()).await? {
        let view = View::default();
        view.seen.lead_to(cell.place.clone());
        let with = (Arc::default(), view);
        pools.push(pool(location.owner(), Role::Owner, COMMAND_CONNECTIONS, &cell.settings(), with, None)?);
    }
    Ok(pools)
}

/// The owner's connection into the cell that has a tenant's rows; None: they are in the one database.
pub async fn cell_of(location: &Location, client: &Client, tenant_id: &str) -> Result<Option<Client>, StorageError> {
    if !standing_layout(client).await?.is_some_and(Layout::has_cells) {
        return Ok(None);
    }
    let Some(cell) = cells(client).await?.into_iter().find(|cell| cell.has(tenant_id)) else {
        return Err(StorageError::not_ready(format!(
            "no cell has the rows of {tenant_id}: its shard has no placement on a node that is active (tidegate doctor)"
        )));
    };
    build(client, location.owner(), &cell).await?;
    enter(location.owner(), &cell).await.map(Some)
}
