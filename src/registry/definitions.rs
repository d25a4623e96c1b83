//! Streams are defined, changed and deleted.
//!
//! A change is made to what was read: where another came between, it is refused, and nothing is overwritten unseen. It holds one
//! row until COMMIT, so that all changes are in one order, and is known to the process that made it before it is answered.

use std::sync::Arc;

use deadpool_postgres::{Pool, Transaction};
use serde_json::value::RawValue;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::definition::{Change, Compatibility, Definition, MaskSpec, Mode, Version};
use super::error::DefinitionError;
use super::key;
use super::known::Stream;
use super::process::{Registry, within};
use super::stored::{definition, version};
use super::turns::Turn;
use crate::limits::{DEFINITIONS_MAX, DEFINITIONS_PER_TENANT_MAX, SCHEMA_DEPTH_MAX, SCHEMA_VERSIONS_MAX};
use crate::payload::{Mask, value};
use crate::schema::{Schema, SchemaError, compare};
use crate::storage::{StorageError, only_row};

const ONE: &str = include_str!("../../sql/queries/definition.sql");
const ROOM: &str = include_str!("../../sql/queries/definition_room.sql");
const WRITE: &str = include_str!("../../sql/queries/definition_write.sql");
const PATIENCE: &str = "SET LOCAL lock_timeout = '2s'";
const NEXT: &str = "UPDATE event_stream_revision SET revision = revision + 1 RETURNING revision";
const NOTE_KEY: &str =
    "UPDATE event_stream_revision SET mask_key_check = coalesce(mask_key_check, $1) RETURNING mask_key_check";
const ADD_VERSION: &str =
    "INSERT INTO event_stream_schemas (tenant_id, stream, version, schema, api_key_id) VALUES ($1, $2, $3, $4, $5)";
const DELETE: &str = "UPDATE event_streams SET deleted_at = now(), updated_at = now(), revision = $4 \
                      WHERE tenant_id = $1 AND name = $2 AND revision = $3";
const VERSIONS: &str = "SELECT version, schema::text, created_at, api_key_id FROM event_stream_schemas \
                        WHERE tenant_id = $1 AND stream = $2 AND version < $3 ORDER BY version DESC LIMIT $4";
const NAMES: &str =
    "SELECT name FROM event_streams WHERE tenant_id = $1 AND deleted_at IS NULL AND name > $2 ORDER BY name LIMIT $3";

/// A definition as it is to be, put together from what is there and what is to be different.
pub struct Wanted {
    name: String,
    /// Of what it was made from; 0: of nothing.
    from_revision: i64,
    versions: i32,
    description: Option<String>,
    mode: Mode,
    compatibility: Compatibility,
    version: Option<i32>,
    /// The text of a new version.
    new_schema: Option<String>,
    masks: Vec<Mask>,
    /// What payloads are to be tried on before: a schema that is new, or begins to be enforced.
    pub trial: Option<Arc<Schema>>,
}

#[derive(Clone)]
pub struct Definitions {
    pool: Pool,
    registry: Arc<Registry>,
}

impl Definitions {
    pub fn new(pool: Pool, registry: Arc<Registry>) -> Self {
        Self { pool, registry }
    }

    /// See [`Registry::turn`].
    pub async fn turn(&self, tenant_id: &Arc<str>) -> Turn {
        self.registry.turn(tenant_id).await
    }

    /// A stream's definition, of one that is deleted as well; None: it was never defined.
    async fn find(&self, tenant_id: &str, name: &str) -> Result<Option<Definition>, DefinitionError> {
        let row = within(&self.pool, async |client| {
            let statement = client.prepare_cached(ONE).await?;
            Ok(client.query_opt(&statement, &[&tenant_id, &name]).await?)
        })
        .await?;
        Ok(row.as_ref().map(definition).transpose()?)
    }

    /// A stream's definition; None: it has none, or none any more.
    pub async fn get(&self, tenant_id: &str, name: &str) -> Result<Option<Definition>, DefinitionError> {
        Ok(self.find(tenant_id, name).await?.filter(|definition| !definition.deleted))
    }

    /// The names of streams that are defined, behind one.
    pub async fn names(&self, tenant_id: &str, behind: &str, limit: i64) -> Result<Vec<String>, DefinitionError> {
        let rows = within(&self.pool, async |client| {
            let statement = client.prepare_cached(NAMES).await?;
            Ok(client.query(&statement, &[&tenant_id, &behind, &limit]).await?)
        })
        .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Versions of a stream's schema before one, newest first.
    pub async fn versions(
        &self,
        tenant_id: &str,
        name: &str,
        before: i32,
        limit: i64,
    ) -> Result<Vec<Version>, DefinitionError> {
        self.get(tenant_id, name).await?.ok_or(DefinitionError::NotFound("stream"))?;
        let rows = within(&self.pool, async |client| {
            let statement = client.prepare_cached(VERSIONS).await?;
            Ok(client.query(&statement, &[&tenant_id, &name, &before, &limit]).await?)
        })
        .await?;
        rows.iter().map(version).collect::<Result<_, StorageError>>().map_err(DefinitionError::from)
    }

    /// One version.
    pub async fn version(&self, tenant_id: &str, name: &str, number: i32) -> Result<Version, DefinitionError> {
        let before = number.saturating_add(1);
        let found = self.versions(tenant_id, name, before, 1).await?.pop();
        found.filter(|found| found.version == number).ok_or(DefinitionError::NotFound("version"))
    }

    /// A new definition.
    pub async fn define(&self, tenant_id: &str, name: &str, change: Change) -> Result<Wanted, DefinitionError> {
        let before = self.find(tenant_id, name).await?;
        if before.as_ref().is_some_and(|before| !before.deleted) {
            return Err(DefinitionError::Exists);
        }
        // Of one that was deleted the masks are in force, and stay so unless others are named.
        let masks = masks_of(before.as_ref())?;
        let mut wanted = Wanted {
            name: name.to_owned(),
            from_revision: before.as_ref().map_or(0, |before| before.revision),
            versions: before.map_or(0, |before| before.versions),
            description: None,
            mode: Mode::Off,
            compatibility: Compatibility::None,
            version: None,
            new_schema: None,
            masks,
            trial: None,
        };
        // A schema without a mode is meant to be kept.
        wanted.mode = if matches!(change.schema, Some(Some(_))) { Mode::Enforce } else { Mode::Off };
        wanted.take(change, None).await?;
        Ok(wanted)
    }

    /// A definition that is there, changed.
    pub async fn change(&self, tenant_id: &str, name: &str, change: Change) -> Result<Wanted, DefinitionError> {
        let before = self.get(tenant_id, name).await?.ok_or(DefinitionError::NotFound("stream"))?;
        let masks = masks_of(Some(&before))?;
        let mut wanted = Wanted {
            name: name.to_owned(),
            from_revision: before.revision,
            versions: before.versions,
            description: before.description,
            mode: Mode::of(before.mode).unwrap_or(Mode::Off),
            compatibility: Compatibility::of(before.compatibility).unwrap_or(Compatibility::None),
            version: before.schema_version,
            new_schema: None,
            masks,
            trial: None,
        };
        let schema = before.schema.map(|schema| schema.get().to_owned());
        wanted.take(change, schema).await?;
        Ok(wanted)
    }

    /// Writes it, unless another came between.
    pub async fn write(
        &self,
        tenant_id: &str,
        wanted: Wanted,
        api_key_id: Uuid,
    ) -> Result<Definition, DefinitionError> {
        let check = match wanted.masks.is_empty() {
            true => None,
            false => {
                let secret = self.registry.secret();
                let cannot = |error| {
                    DefinitionError::MaskKey(format!(
                        "the secret of masks cannot be made: {error}; set streams.mask_key"
                    ))
                };
                Some(key::check(secret.map_err(cannot)?))
            }
        };
        let work =
            async |transaction: &Transaction<'_>| write(transaction, tenant_id, &wanted, check, api_key_id).await;
        self.transaction(work, tenant_id, &wanted.name, wanted.as_known()).await?;
        self.get(tenant_id, &wanted.name).await?.ok_or(DefinitionError::Changed)
    }

    /// It takes nothing more, and its definition is not shown any more.
    pub async fn delete(&self, tenant_id: &str, name: &str) -> Result<(), DefinitionError> {
        let before = self.get(tenant_id, name).await?.ok_or(DefinitionError::NotFound("stream"))?;
        let work = async |transaction: &Transaction<'_>| {
            let revision = next_revision(transaction).await?;
            match transaction.execute(DELETE, &[&tenant_id, &name, &before.revision, &revision]).await? {
                1 => Ok(()),
                _ => Err(DefinitionError::Changed),
            }
        };
        let known = Stream { mode: Mode::Off, version: None, masks: masks_of(Some(&before))?, deleted: true };
        self.transaction(work, tenant_id, name, known).await
    }

    /// Changes a stream to what ingestion is to know of it `then`. One that is given up on the way, as when its sender has gone, is
    /// rolled back.
    async fn transaction(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<(), DefinitionError>,
        tenant_id: &str,
        name: &str,
        then: Stream,
    ) -> Result<(), DefinitionError> {
        let mut refused = None;
        within(&self.pool, async |client| {
            let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
            transaction.batch_execute(PATIENCE).await?;
            match work(&transaction).await {
                Ok(()) => transaction.commit().await?,
                Err(error) => {
                    transaction.rollback().await?;
                    refused = Some(error);
                }
            }
            Ok(())
        })
        .await?;
        match refused {
            Some(error) => Err(error),
            None => {
                // It is committed, and holds here once it is answered.
                if let Err(error) = self.registry.look().await {
                    tracing::debug!(%error, "a change could not be looked up");
                    self.registry.note(tenant_id, name, then).await;
                }
                Ok(())
            }
        }
    }
}

impl Wanted {
    /// What ingestion is to know of it.
    fn as_known(&self) -> Stream {
        Stream { mode: self.mode, version: self.version, masks: self.masks.clone(), deleted: false }
    }

    /// Whether what breaks its schema is refused.
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Makes it different, and checks what that means; `before` is the schema that is there.
    async fn take(&mut self, change: Change, before: Option<String>) -> Result<(), DefinitionError> {
        let Change { description, mode, compatibility, schema, mask } = change;
        let was_enforced = self.mode == Mode::Enforce && before.is_some();
        self.description = description.unwrap_or(self.description.take());
        self.compatibility = compatibility.unwrap_or(self.compatibility);
        self.masks = mask.unwrap_or(std::mem::take(&mut self.masks));
        match schema {
            None => {}
            Some(None) => {
                self.version = None;
                self.mode = Mode::Off;
            }
            // The same once more is no other version.
            Some(Some(text)) if before.as_ref().is_some_and(|before| is_same(before, &text)) => {}
            Some(Some(text)) => {
                if self.versions >= SCHEMA_VERSIONS_MAX {
                    return Err(DefinitionError::Full("versions"));
                }
                let compiled = compiled(text.clone()).await?;
                if let (Some(before), Some(number)) = (&before, self.version) {
                    compatible(before, &text, number, self.compatibility).await?;
                } else if mode.is_none() && self.mode == Mode::Off {
                    self.mode = Mode::Enforce;
                }
                self.trial = Some(compiled);
                self.version = Some(self.versions + 1);
                self.new_schema = Some(text);
            }
        }
        self.mode = mode.unwrap_or(self.mode);
        if self.mode != Mode::Off && self.version.is_none() {
            return Err(DefinitionError::NoSchema);
        }
        if let (Mode::Enforce, false, None, Some(text)) = (self.mode, was_enforced, &self.trial, before) {
            self.trial = Some(compiled(text).await?);
        }
        Ok(())
    }
}

fn masks_of(before: Option<&Definition>) -> Result<Vec<Mask>, StorageError> {
    MaskSpec::parse_all(before.map_or(&[][..], |before| &before.mask)).map_err(StorageError::fatal)
}

fn is_same(a: &str, b: &str) -> bool {
    let read = |text| value(text, SCHEMA_DEPTH_MAX).ok();
    a == b || read(a).is_some_and(|a| read(b).is_some_and(|b| a == b))
}

async fn compiled(text: String) -> Result<Arc<Schema>, DefinitionError> {
    let compiled = tokio::task::spawn_blocking(move || Schema::compile(&text)).await;
    let compiled = compiled.map_err(|error| StorageError::fatal(error.to_string()))?;
    compiled.map(Arc::new).map_err(DefinitionError::Schema)
}

/// Compares with the version before, in steps that are counted: it ends.
async fn compatible(before: &str, text: &str, with: i32, compatibility: Compatibility) -> Result<(), DefinitionError> {
    let read =
        |text| value(text, SCHEMA_DEPTH_MAX).map_err(|error| DefinitionError::Schema(SchemaError(error.to_string())));
    let (old, new) = (read(before)?, read(text)?);
    let compared = tokio::task::spawn_blocking(move || {
        compatibility.directions().iter().flat_map(|direction| compare(&old, &new, *direction)).collect::<Vec<_>>()
    });
    let reasons = compared.await.map_err(|error| StorageError::fatal(error.to_string()))?;
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(DefinitionError::Incompatible { with, wanted: compatibility.as_str(), reasons }),
    }
}

/// Holds all other changes until COMMIT.
async fn next_revision(transaction: &Transaction<'_>) -> Result<i64, DefinitionError> {
    Ok(only_row(transaction.query_opt(NEXT, &[]).await?, "event_stream_revision")?.get(0))
}

async fn write(
    transaction: &Transaction<'_>,
    tenant_id: &str,
    wanted: &Wanted,
    check: Option<String>,
    api_key_id: Uuid,
) -> Result<(), DefinitionError> {
    let revision = next_revision(transaction).await?;
    if let Some(check) = check {
        let noted: String = transaction.query_one(NOTE_KEY, &[&check]).await?.get(0);
        if noted != check {
            let what = "the secret of masks of this node is another than that of the node that masked first: set streams.mask_key to the same on every node";
            return Err(DefinitionError::MaskKey(what.to_owned()));
        }
    }
    let Wanted { name, from_revision, description, mode, compatibility, version, masks, .. } = wanted;
    let mask = Json(MaskSpec::of_all(masks));
    // Nobody else writes definitions meanwhile: who does holds the revision's row.
    let room = transaction.query_one(ROOM, &[&tenant_id, name, &DEFINITIONS_PER_TENANT_MAX, &DEFINITIONS_MAX]).await?;
    if !room.get::<_, bool>(0) {
        return Err(if *from_revision == 0 { DefinitionError::Full("streams") } else { DefinitionError::Changed });
    }
    let written = transaction
        .execute(
            WRITE,
            &[
                &tenant_id,
                name,
                from_revision,
                description,
                &mode.as_str(),
                &compatibility.as_str(),
                version,
                &mask,
                &revision,
            ],
        )
        .await?;
    if written == 0 {
        return Err(DefinitionError::Changed);
    }
    if let (Some(text), Some(version)) = (&wanted.new_schema, version) {
        let schema = RawValue::from_string(text.clone())
            .map_err(|error| DefinitionError::Schema(SchemaError(error.to_string())))?;
        transaction.execute(ADD_VERSION, &[&tenant_id, name, version, &Json(schema), &api_key_id]).await?;
    }
    Ok(())
}
