//! What holds for all items of a body: where it comes from, how it holds them, and which timestamps are accepted.

use uuid::Uuid;

/// How a body holds its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// One object, or an array of items.
    Json,
    Ndjson,
    CloudEvent,
    /// An array of CloudEvents; one alone is taken as a batch of one.
    CloudEventBatch,
    /// One of Tidegate's own items a line, made of another protocol's: what does not fit its column is shortened.
    Converted,
}

impl BodyForm {
    /// The one that a media type of [`Self::media_type`] stands for.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::Json, Self::Ndjson, Self::CloudEvent, Self::CloudEventBatch, Self::Converted]
            .into_iter()
            .find(|form| form.media_type() == media_type)
    }

    /// The media type that stands for it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::CloudEvent => "application/cloudevents+json",
            Self::CloudEventBatch => "application/cloudevents-batch+json",
            Self::Converted => "application/vnd.tidegate.converted+ndjson",
        }
    }
}

/// How the database keeps the JSON that is stored as it was sent: an event's payload, and the metadata of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoredJson {
    /// Taken apart: containment is quick, and numbers, blanks and the order of keys are PostgreSQL's.
    #[default]
    Jsonb,
    /// The text as it was sent, which costs PostgreSQL the least.
    Json,
}

impl StoredJson {
    /// Every one under the name of its type.
    pub const ALL: [(&str, Self); 2] = [("jsonb", Self::Jsonb), ("json", Self::Json)];

    /// The type of the columns.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Jsonb => "jsonb",
            Self::Json => "json",
        }
    }
}

/// Where a request comes from, and what holds for all of its items.
#[derive(Debug, Clone, Copy)]
pub struct ItemContext<'a> {
    pub tenant_id: &'a str,
    pub api_key_id: Uuid,
    pub receipt: Uuid,
    /// When the request was received, in unix microseconds.
    pub received_at_us: i64,
    pub bounds: TimeBounds,
    /// Most bytes of an item, numbers expanded.
    pub item_bytes_max: usize,
    /// The type of the columns that payload and metadata are encoded for.
    pub stored_json: StoredJson,
    /// What is to be noted of an event of this type; of metrics nothing is.
    pub projections: fn(&str) -> i32,
}

/// The timestamps accepted, both ends included, in unix microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    pub oldest_us: i64,
    pub newest_us: i64,
}
