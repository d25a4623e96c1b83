//! The database that is backed up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Client;

use crate::config::ConnectionUrl;
use crate::storage::{Location, Role, StorageError, connect_to, session_sql};

/// Where it is, without the care for its server.
#[derive(Debug, Clone)]
pub struct Source {
    pub owner: ConnectionUrl,
    /// Of the embedded server its superuser.
    pub admin: ConnectionUrl,
    pub external: bool,
    /// The data directory of the process whose database it is; what is kept there of secrets belongs to a backup.
    pub data_dir: PathBuf,
}

impl Source {
    pub fn of(location: &Location, data_dir: &Path) -> Self {
        Self {
            owner: location.owner().clone(),
            admin: location.admin().clone(),
            external: location.is_external(),
            data_dir: data_dir.to_owned(),
        }
    }

    /// A connection of the owner.
    pub async fn client(&self) -> Result<Client, StorageError> {
        let (client, _connection) = connect_to(&self.owner, Arc::default()).await?;
        client.batch_execute(&session_sql(Role::Owner, "")).await?;
        Ok(client)
    }

    pub(super) async fn superuser(&self) -> Result<Client, StorageError> {
        Ok(connect_to(&self.admin, Arc::default()).await?.0)
    }
}
