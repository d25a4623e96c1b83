//! GET /v1/streams: the streams that there are, by name.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

const STREAMS: &str = include_str!("../../../sql/queries/streams.sql");
const NAMES: &str = include_str!("../../../sql/queries/streams_names.sql");
const ONE: &str = "SELECT $2 AS name WHERE NOT EXISTS ( \
                   SELECT FROM event_streams WHERE tenant_id = $1 AND name = $2 AND deleted_at IS NOT NULL)";

columns! {
    pub struct Stream {
        pub name: String,
        /// The first offset that has not expired.
        pub begin: i64,
        /// The one that the next event gets.
        pub end: i64,
        /// The oldest timestamp of what was stored first; None: all of it has expired.
        pub oldest: Option<Timestamp>,
        /// The newest timestamp of what was stored last; None: nothing was so far.
        pub newest: Option<Timestamp>,
        /// What is done about payloads that break its schema.
        pub mode: String,
        /// What a new version of its schema has to be to the one before.
        pub compatibility: String,
        /// The version that judges; None: none.
        pub schema_version: Option<i32>,
        pub description: Option<String>,
    }
}

#[derive(Debug, Clone)]
pub struct StreamsQuery;

impl Listing for StreamsQuery {
    type Item = Stream;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Stream>, ReadError> {
        let (scope, after) = request.start::<String>("streams")?;
        let mut sql = Sql::new(STREAMS.replace("{names}", NAMES.trim_end()));
        sql.value(request.tenant_id.clone()).value(after.unwrap_or_default());
        sql.value(i64::try_from(request.limit + 1).unwrap_or(i64::MAX));
        let found = reads.rows(&sql).await?;
        Page::of(found, request.limit, Stream::read, |last| Ok(scope.encode(&Stream::read(last)?.name)))
    }
}

impl Stream {
    fn read(row: &Row) -> Result<Self, ReadError> {
        Ok(Self {
            name: row.try_get(0)?,
            begin: row.try_get(1)?,
            end: row.try_get(2)?,
            oldest: row.try_get(3)?,
            newest: row.try_get(4)?,
            mode: row.try_get(5)?,
            compatibility: row.try_get(6)?,
            schema_version: row.try_get(7)?,
            description: row.try_get(8)?,
        })
    }
}

impl Reads {
    /// The stream of a tenant that is called so.
    pub async fn stream(&self, tenant_id: &str, name: &str) -> Result<Stream, ReadError> {
        let mut sql = Sql::new(STREAMS.replace("{names}", ONE));
        sql.value(tenant_id.to_owned()).value(name.to_owned());
        let rows = self.rows(&sql).await?.rows;
        rows.first().map_or(Err(ReadError::NotFound("stream")), Stream::read)
    }
}
