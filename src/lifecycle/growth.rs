//! How the database grows, of the sizes that the lifecycle job notes once a day; and when its disk is full, if it goes on like that.

use std::path::PathBuf;

use serde::Serialize;
use tokio_postgres::GenericClient;

use crate::config::Config;
use crate::files::free_bytes;
use crate::storage::StorageError;

#[derive(Debug, Serialize)]
pub struct Growth {
    /// When sizes were noted last.
    pub bytes: i64,
    /// Over the last week; None: sizes have been noted for less than a day.
    pub bytes_per_day: Option<f64>,
    /// Between the first and the last of the sizes that this is of.
    pub days: Option<f64>,
    /// The relation that grew most.
    pub mostly: Option<String>,
    /// Where the database is the program's own: an external one's disk cannot be seen from here.
    pub disk_free_bytes: Option<u64>,
    /// At this rate; None where it does not grow, or it is not known.
    pub disk_full_in_days: Option<f64>,
}

/// The folder of a database of the program's own.
pub fn own_disk(config: &Config) -> Option<PathBuf> {
    config.database.database_url.is_none().then(|| config.data_dir.clone())
}

/// None: the job has not noted any size yet.
#[expect(clippy::cast_precision_loss, reason = "for days")]
pub async fn growth(client: &impl GenericClient, disk: Option<PathBuf>) -> Result<Option<Growth>, StorageError> {
    let row = client.query_opt(include_str!("../../sql/queries/lifecycle_growth.sql"), &[]).await?;
    let Some(row) = row else { return Ok(None) };
    let bytes_per_day: Option<f64> = row.get(1);
    let disk_free_bytes = disk.and_then(|folder| free_bytes(&folder).ok());
    let rate = bytes_per_day.filter(|rate| *rate > 0.0);
    let disk_full_in_days = disk_free_bytes.zip(rate).map(|(free, rate)| free as f64 / rate);
    Ok(Some(Growth {
        bytes: row.get(0),
        bytes_per_day,
        days: row.get(2),
        mostly: row.get(3),
        disk_free_bytes,
        disk_full_in_days,
    }))
}
