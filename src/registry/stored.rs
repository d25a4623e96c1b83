//! Definitions as they are stored.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::definition::{Compatibility, Definition, MaskSpec, Mode, Version, Warned};
use crate::storage::StorageError;

fn raw(text: Option<String>) -> Result<Option<Box<RawValue>>, StorageError> {
    text.map(RawValue::from_string).transpose().map_err(|error| StorageError::fatal(error.to_string()))
}

/// Of a row of `sql/queries/definition.sql`.
pub fn definition(row: &Row) -> Result<Definition, StorageError> {
    let Json(mask): Json<Vec<MaskSpec>> = row.try_get(5)?;
    let (mode, compatibility): (String, String) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Definition {
        name: row.try_get(16)?,
        id: row.try_get(0)?,
        description: row.try_get(1)?,
        mode: Mode::of(&mode).map_or("off", Mode::as_str),
        compatibility: Compatibility::of(&compatibility).map_or("none", Compatibility::as_str),
        schema_version: row.try_get(4)?,
        schema: raw(row.try_get(10)?)?,
        mask,
        warnings: Warned {
            events: row.try_get(11)?,
            last_at: row.try_get(12)?,
            field: row.try_get(13)?,
            rule: row.try_get(14)?,
        },
        created_at: row.try_get(6)?,
        updated_at: row.try_get(7)?,
        revision: row.try_get(8)?,
        versions: row.try_get(9)?,
        deleted: row.try_get(15)?,
    })
}

/// Of a row of versions.
pub fn version(row: &Row) -> Result<Version, StorageError> {
    let schema = raw(row.try_get(1)?)?.ok_or_else(|| StorageError::fatal("a version without a schema"))?;
    Ok(Version { version: row.try_get(0)?, schema, created_at: row.try_get(2)?, api_key_id: row.try_get(3)? })
}
