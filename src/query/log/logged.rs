//! An event of a log as it is handed out: its text, made once however many read it, and what is asked of it besides.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::query::columns::StoredRow;
use crate::query::error::ReadError;
use crate::query::event::Event;

/// An event, and where it stands in the log of its stream. Clones share it.
#[derive(Debug, Clone)]
pub struct LoggedEvent(Arc<Logged>);

#[derive(Debug)]
pub struct Logged {
    pub offset: i64,
    pub batch_id: i64,
    pub(super) batch_seq: i32,
    pub id: Uuid,
    pub timestamp: Timestamp,
    pub created_at: Timestamp,
    pub asset_id: Option<String>,
    pub correlation_id: Option<Uuid>,
    pub source_module: String,
    /// Bytes of its values where they are too large to be read with others; its text is without them then.
    pub(super) large: usize,
    text: Box<RawValue>,
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(flatten)]
    event: &'a Event,
    offset: i64,
}

impl LoggedEvent {
    /// From a row of a list, with its place.
    pub(super) fn read(row: &Row, offset: i64, batch_id: i64, batch_seq: i32) -> Result<Self, ReadError> {
        let large = usize::try_from(row.try_get::<_, i64>("large")?).unwrap_or(usize::MAX);
        Ok(Self::new(Event::read(row)?, offset, batch_id, batch_seq, large))
    }

    fn new(event: Event, offset: i64, batch_id: i64, batch_seq: i32, large: usize) -> Self {
        let text = to_raw_value(&Text { event: &event, offset }).expect("answers are made of plain values");
        let Event { id, timestamp, created_at, asset_id, correlation_id, source_module, .. } = event;
        Self(Arc::new(Logged {
            offset,
            batch_id,
            batch_seq,
            id,
            timestamp,
            created_at,
            asset_id,
            correlation_id,
            source_module,
            large,
            text,
        }))
    }

    /// It with all its values.
    pub(super) fn whole(&self, row: &Row) -> Result<Self, ReadError> {
        Ok(Self::new(Event::read(row)?, self.offset, self.batch_id, self.batch_seq, 0))
    }
}

impl Logged {
    /// As JSON.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// How much text it is with all its values; about, where they are large.
    pub(super) fn text_bytes(&self) -> usize {
        self.large.max(self.text().len())
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let names = self.source_module.len() + self.asset_id.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.text().len() + names
    }
}

impl Deref for LoggedEvent {
    type Target = Logged;

    fn deref(&self) -> &Logged {
        &self.0
    }
}

impl Serialize for LoggedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

#[cfg(test)]
impl LoggedEvent {
    /// One that nothing is asked of but its place and its size.
    pub(super) fn example(offset: i64, batch_id: i64, bytes: usize) -> Self {
        let text = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).expect("a string");
        Self(Arc::new(Logged {
            offset,
            batch_id,
            batch_seq: 0,
            id: Uuid::nil(),
            timestamp: Timestamp::UNIX_EPOCH,
            created_at: Timestamp::UNIX_EPOCH,
            asset_id: None,
            correlation_id: None,
            source_module: String::new(),
            large: 0,
            text,
        }))
    }
}
