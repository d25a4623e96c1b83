//! GET /v1/dead-letters and /v1/dead-letters/{id}.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, StoredRow, columns};
use super::error::ReadError;
use super::listing::{Listing, Page, PageRequest};
use super::newest::{Newest, Order, Piece};
use super::place::{Direction, RowKey};
use super::reads::Reads;
use super::sql::Sql;
use super::windows::Window;

/// Raw bytes shown in a listing; the whole of a larger one is at its own address.
const LISTED_RAW_BYTES_MAX: i32 = 64 * 1024;

columns! {
    /// A dead letter as it is read back.
    pub struct DeadLetter from "dead_letter_events" {
        pub id: Uuid,
        pub failed_at: Timestamp,
        /// Where it failed: decode, validate, package or write; consume, where a group has parked it; or project, where it is stored
        /// and a projection cannot take it.
        pub stage: String,
        pub code: String,
        pub reason: String,
        /// The route that it came in by.
        pub route: String,
        pub content_type: String,
        pub parameters: Value,
        pub item_index: i32,
        /// Its event id, where it got that far.
        pub event_id: Option<Uuid>,
        pub receipt: Uuid,
        pub api_key_id: Uuid,
        /// When it came in; None: its version of Tidegate did not note that.
        pub received_at: Option<Timestamp>,
        /// Whether API keys were cut out of what was sent, or it was withheld since it could not be masked; None: the same.
        pub redacted: Option<bool>,
        /// When it was last replayed.
        pub replayed_at: Option<Timestamp>,
        /// What came of that: stored or failed; of a parked event consumed, failed or dropped.
        pub outcome: Option<String>,
        /// Why it failed again.
        pub outcome_code: Option<String>,
        pub outcome_detail: Option<String>,
        /// Of what a schema refused: a JSON pointer into the payload, one into the schema, and which version it was.
        pub field_pointer: Option<String>,
        pub rule_pointer: Option<String>,
        pub schema_version: Option<i32>,
        /// Of an item that was made of another protocol's: the size of what was sent.
        pub original_bytes: Option<i32> = "octet_length(original)",
        /// What was sent then, in base64, when not larger than 64 KiB.
        pub original_base64: Option<String> = later,
        pub raw_bytes: i32 = "octet_length(raw)",
        /// What was sent, when it is UTF-8 (and, in a listing, not larger than 64 KiB).
        pub raw: Option<String> = later,
        /// What was sent, in base64 (in a listing, when not larger than 64 KiB).
        pub raw_base64: Option<String> = later,
    }
}

/// Where items fail; the stage of parked events, and that of events that a projection cannot take.
pub const STAGES: [&str; 6] = ["decode", "validate", "package", "write", PARKED_STAGE, PROJECTED_STAGE];
pub const PARKED_STAGE: &str = "consume";
pub const PROJECTED_STAGE: &str = "project";
/// What may have come of a dead letter; `none` was not replayed so far.
pub const OUTCOMES: [&str; 5] = ["none", "failed", "stored", "consumed", "dropped"];
const OUTCOME: &str = "coalesce(outcome, 'none')";
const ORDER: Order = Order::Id("failed_at");

#[derive(Debug, Clone)]
pub struct DeadLettersQuery {
    pub stages: Vec<String>,
    pub codes: Vec<String>,
    /// Of the last replay: see [`OUTCOMES`].
    pub outcomes: Vec<String>,
    /// Of `failed_at`.
    pub window: Window,
}

impl Listing for DeadLettersQuery {
    type Item = DeadLetter;

    /// The bytes once, in the form that holds any.
    fn columns(&self) -> Vec<&'static str> {
        DeadLetter::names().into_iter().filter(|name| !matches!(*name, "parameters" | "raw")).collect()
    }

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<DeadLetter>, ReadError> {
        let listed = listed();
        let list = Newest { what: self.what(), order: ORDER, window: self.window, by_age: false, has_large: false };
        let select = |piece: &Piece| {
            let mut sql = self.filtered(&listed, &request.tenant_id);
            piece.push(&mut sql);
            sql
        };
        list.page(reads, request, select, dead_letter).await
    }
}

impl DeadLettersQuery {
    /// What its cursors belong to.
    fn what(&self) -> String {
        format!("dead-letters {:?} {:?} {:?}", self.stages, self.codes, self.outcomes)
    }

    fn filtered(&self, select: &str, tenant_id: &str) -> Sql {
        let mut sql = Sql::of_tenant(select, tenant_id);
        sql.push_any_of("stage", &self.stages);
        sql.push_any_of("code", &self.codes);
        sql.push_any_of(OUTCOME, &self.outcomes);
        sql
    }
}

impl Reads {
    /// How many dead letters there are behind a page's cursor.
    pub async fn dead_letters_left(&self, query: &DeadLettersQuery, request: &PageRequest) -> Result<i64, ReadError> {
        let (_, after) = request.start::<RowKey>(&query.what())?;
        let mut sql = query.filtered("SELECT count(*) FROM dead_letter_events", &request.tenant_id);
        sql.push_within(ORDER.time(), &query.window);
        if let Some(place) = after {
            ORDER.push_place(&mut sql, Direction::NewestFirst.behind(), place);
        }
        let rows = self.rows(&sql).await?.rows;
        rows.first().map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }

    /// One dead letter of a tenant, and what was sent where that is too large to be listed: it is not in the letter then.
    pub async fn dead_letter(&self, tenant_id: &str, id: Uuid) -> Result<(DeadLetter, Option<Vec<u8>>), ReadError> {
        let of_it = |select: &str| {
            let mut sql = Sql::of_tenant(select, tenant_id);
            sql.push(" AND id = ").bind(id);
            sql
        };
        let missing = ReadError::NotFound("dead letter");
        let letter = self.rows(&of_it(&listed())).await?.rows.first().map_or(Err(missing), dead_letter)?;
        let bytes = usize::try_from(letter.raw_bytes).unwrap_or(usize::MAX);
        if letter.raw_base64.is_some() || bytes == 0 {
            return Ok((letter, None));
        }
        let row = self.rows_of(&of_it("SELECT raw FROM dead_letter_events"), bytes).await?.pop();
        let raw = row.ok_or(ReadError::NotFound("dead letter"))?.try_get(0)?;
        Ok((letter, Some(raw)))
    }

    /// What was sent of the item of a dead letter that was made of another protocol's.
    pub async fn original(&self, tenant_id: &str, id: Uuid) -> Result<Vec<u8>, ReadError> {
        let of_it = |select: &str| {
            let mut sql = Sql::of_tenant(select, tenant_id);
            sql.push(" AND id = ").bind(id).push(" AND original IS NOT NULL");
            sql
        };
        let missing = || ReadError::NotFound("dead letter of another protocol");
        let size = self.rows(&of_it("SELECT octet_length(original) FROM dead_letter_events")).await?.rows.pop();
        let bytes: i32 = size.ok_or_else(missing)?.try_get(0)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let row = self.rows_of(&of_it("SELECT original FROM dead_letter_events"), bytes).await?.pop();
        Ok(row.ok_or_else(missing)?.try_get(0)?)
    }
}

fn listed() -> String {
    DeadLetter::select(&format!(
        ", CASE WHEN octet_length(raw) <= {LISTED_RAW_BYTES_MAX} THEN raw END AS sent, \
           CASE WHEN octet_length(original) <= {LISTED_RAW_BYTES_MAX} THEN original END AS original"
    ))
}

fn dead_letter(row: &Row) -> Result<DeadLetter, ReadError> {
    let sent: Option<Vec<u8>> = row.try_get("sent")?;
    let original: Option<Vec<u8>> = row.try_get("original")?;
    let mut letter = DeadLetter::read(row)?;
    letter.original_base64 = original.map(|bytes| STANDARD.encode(bytes));
    letter.raw_base64 = sent.as_ref().map(|bytes| STANDARD.encode(bytes));
    letter.raw = sent.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(letter)
}
