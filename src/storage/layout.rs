//! How the relations are laid out in a database: decided when it is installed, and never changed.
//!
//! What differs between layouts is asked of this, or done by [`super::Store`]; nobody outside of `storage` compares layouts.

use tokio_postgres::Client;

use super::StorageError;
use super::citus;
use super::hypertables::{apply_partitions, apply_policies, apply_rowstore};
use super::toast::PREFER_LZ4;
use crate::config::{Config, StorageProfile};
use crate::model::listed;

listed! {
    /// How what is kept in chunks or partitions is laid out.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Layout {
        /// Hypertables of TimescaleDB Community; COPY goes straight into the columnstore.
        Columnstore,
        /// Hypertables with row chunks, b-trees, and a unique index that tells equal events apart.
        Rowstore,
        /// Native range partitions of any PostgreSQL.
        Native,
        /// The same, spread over the workers of Citus by tenant.
        Citus,
    }
}

impl Layout {
    /// Of hypertables, as the configuration asks for it.
    pub(super) fn of_hypertables(profile: StorageProfile) -> Self {
        match profile {
            StorageProfile::Columnstore => Self::Columnstore,
            StorageProfile::Rowstore => Self::Rowstore,
        }
    }

    /// As recorded in the database under `engine` and `profile`.
    pub(super) fn recorded(engine: &str, profile: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| (layout.engine(), layout.profile()) == (engine, profile))
    }

    /// The engine that it is a layout of: `timescale`, `postgres` or `citus`.
    pub fn engine(self) -> &'static str {
        match self {
            Self::Columnstore | Self::Rowstore => "timescale",
            Self::Native => "postgres",
            Self::Citus => "citus",
        }
    }

    /// The name of `storage_profile` in the database; of native partitions one that means nothing.
    pub(super) fn profile(self) -> &'static str {
        match self {
            Self::Columnstore => "columnstore",
            Self::Rowstore | Self::Native | Self::Citus => "rowstore",
        }
    }

    /// Whether relations are hypertables, which make their chunks themselves and may be compressed, and the rollups
    /// continuous aggregates.
    pub fn has_hypertables(self) -> bool {
        match self {
            Self::Columnstore | Self::Rowstore => true,
            Self::Native | Self::Citus => false,
        }
    }

    /// Whether tenants' rows are in cells, on other servers than the one that is named.
    pub fn has_cells(self) -> bool {
        match self {
            Self::Citus => true,
            Self::Columnstore | Self::Rowstore | Self::Native => false,
        }
    }

    /// Whether an event that is there already is told by a unique index, and its row left out.
    pub fn tells_equal_events(self) -> bool {
        match self {
            Self::Rowstore => true,
            Self::Columnstore | Self::Native | Self::Citus => false,
        }
    }

    /// Whether COPY goes straight into the columnstore.
    pub fn direct_compress(self) -> bool {
        match self {
            Self::Columnstore => true,
            Self::Rowstore | Self::Native | Self::Citus => false,
        }
    }

    /// Makes what it needs beside the migrations.
    pub(super) async fn prepare(self, client: &Client, config: &Config) -> Result<(), StorageError> {
        match self {
            Self::Columnstore => {
                apply_policies(client, config).await?;
                apply_partitions(client, config).await
            }
            Self::Rowstore => {
                apply_rowstore(client).await?;
                apply_policies(client, config).await?;
                apply_partitions(client, config).await
            }
            Self::Native => Ok(()),
            Self::Citus => citus::spread(client, config.citus_cells).await,
        }
    }

    /// Session settings of the writers' connections.
    pub fn writer_settings(self) -> String {
        match self {
            Self::Columnstore => format!("SET timescaledb.enable_direct_compress_copy = on; {PREFER_LZ4}"),
            Self::Rowstore | Self::Native | Self::Citus => String::new(),
        }
    }
}

/// How the database is laid out, by its own record; None before the first installation. Reads only.
pub async fn standing_layout(client: &Client) -> Result<Option<Layout>, StorageError> {
    let there: bool = client.query_one("SELECT to_regclass('tidegate.installation') IS NOT NULL", &[]).await?.get(0);
    if !there {
        return Ok(None);
    }
    let Some(row) = client.query_opt("SELECT engine, storage_profile FROM tidegate.installation", &[]).await? else {
        return Ok(None);
    };
    let (engine, profile): (&str, &str) = (row.get(0), row.get(1));
    let unknown =
        || StorageError::not_ready(format!("this version knows no layout {engine}/{profile}: run a newer one"));
    Layout::recorded(engine, profile).map(Some).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_layout() {
        for layout in Layout::ALL {
            assert_eq!(Layout::recorded(layout.engine(), layout.profile()), Some(layout));
        }
        assert_eq!(Layout::recorded("postgres", "columnstore"), None);
    }
}
