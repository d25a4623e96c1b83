//! GET /v1/dead-letters and /v1/dead-letters/{id}.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::cursor::Scope;
use super::filter::Sql;
use super::{Found, Page, ReadError, Reads};

/// Raw bytes shown in a listing; the whole of a larger one is at its own address.
const LISTED_RAW_BYTES_MAX: i32 = 64 * 1024;

/// A dead letter as it is read back.
#[derive(Debug, Serialize)]
pub struct DeadLetter {
    pub id: Uuid,
    pub failed_at: Timestamp,
    /// Where it failed: decode, validate, package or write.
    pub stage: String,
    pub code: String,
    pub reason: String,
    /// The route that it came in by.
    pub route: String,
    /// The request's content type.
    pub content_type: String,
    pub parameters: Value,
    /// Its ordinal in the request.
    pub item_index: i32,
    /// Its event id, where it got that far.
    pub event_id: Option<Uuid>,
    pub receipt: Uuid,
    /// The key that sent it.
    pub api_key_id: Uuid,
    /// Size of what was sent, in bytes.
    pub raw_bytes: i32,
    /// What was sent, when it is UTF-8 (and, in a listing, not larger than 64 KiB).
    pub raw: Option<String>,
    /// What was sent, in base64 (in a listing, when not larger than 64 KiB).
    pub raw_base64: Option<String>,
}

#[derive(Debug, Clone)]
pub struct DeadLettersQuery {
    pub tenant_id: String,
    /// Any of these stages.
    pub stages: Vec<String>,
    /// Any of these codes.
    pub codes: Vec<String>,
    /// Oldest `failed_at`, inclusive.
    pub from: Option<Timestamp>,
    /// Newest `failed_at`, exclusive.
    pub to: Option<Timestamp>,
    /// Rows of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

const COLUMNS: &str = "id, failed_at, stage, code, reason, route, content_type, parameters, item_index, event_id, receipt, \
     api_key_id, octet_length(raw)";

impl Reads {
    /// One page of dead letters, newest first.
    pub async fn dead_letters(&self, query: &DeadLettersQuery) -> Result<Page<DeadLetter>, ReadError> {
        let asked = format!("dead-letters {:?} {:?}", query.stages, query.codes);
        let scope = Scope::new(&query.tenant_id, &asked);
        let raw = format!("CASE WHEN octet_length(raw) <= {LISTED_RAW_BYTES_MAX} THEN raw END");
        let mut sql = Sql::new(&format!("SELECT {COLUMNS}, {raw} FROM dead_letter_events WHERE tenant_id = "));
        sql.bind(query.tenant_id.clone(), Type::TEXT);
        sql.push_any_of("stage", &query.stages);
        sql.push_any_of("code", &query.codes);
        if let Some(from) = query.from {
            sql.push(" AND failed_at >= ").bind(from, Type::TIMESTAMPTZ);
        }
        if let Some(to) = query.to {
            sql.push(" AND failed_at < ").bind(to, Type::TIMESTAMPTZ);
        }
        if let Some(cursor) = &query.cursor {
            let [failed_us, high, low] = scope.decode(cursor)?;
            let at = Timestamp::from_microsecond(failed_us).map_err(|_| super::CursorError::Malformed)?;
            let id = Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned());
            sql.push(" AND (failed_at, id) < (").bind(at, Type::TIMESTAMPTZ).push(", ").bind(id, Type::UUID).push(")");
        }
        let limit = i64::try_from(query.limit + 1).unwrap_or(i64::MAX);
        sql.push(" ORDER BY failed_at DESC, id DESC LIMIT ").bind(limit, Type::INT8);
        let (rows, cut) = self.rows(&sql).await?;
        Page::of(
            Found { rows, cut },
            query.limit,
            |row| Ok(dead_letter(row)),
            |last| {
                let (high, low) = last.id.as_u64_pair();
                scope.encode([last.failed_at.as_microsecond(), high.cast_signed(), low.cast_signed()])
            },
        )
    }

    /// One dead letter of a tenant, whole.
    pub async fn dead_letter(&self, tenant_id: &str, id: Uuid) -> Result<Option<DeadLetter>, ReadError> {
        let mut sql = Sql::new(&format!("SELECT {COLUMNS}, raw FROM dead_letter_events WHERE tenant_id = "));
        sql.bind(tenant_id.to_owned(), Type::TEXT).push(" AND id = ").bind(id, Type::UUID);
        Ok(self.rows(&sql).await?.0.first().map(dead_letter))
    }
}

fn dead_letter(row: &Row) -> DeadLetter {
    let raw: Option<Vec<u8>> = row.get(13);
    DeadLetter {
        id: row.get(0),
        failed_at: row.get(1),
        stage: row.get(2),
        code: row.get(3),
        reason: row.get(4),
        route: row.get(5),
        content_type: row.get(6),
        parameters: row.get(7),
        item_index: row.get(8),
        event_id: row.get(9),
        receipt: row.get(10),
        api_key_id: row.get(11),
        raw_bytes: row.get(12),
        raw_base64: raw.as_ref().map(|raw| STANDARD.encode(raw)),
        raw: raw.and_then(|raw| String::from_utf8(raw).ok()),
    }
}
