//! GET /v1/usage.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Confined, Newest};
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;
use crate::query::windows::Window;

columns! {
    /// What an organization sent on a day of UTC.
    pub struct UsageRow from "tenant_usage" {
        pub day: Date,
        pub tenant_id: String,
        pub requests: i64,
        /// Rows stored.
        pub events: i64,
        pub samples: i64,
        /// Items that were not stored.
        pub rejected: i64,
        /// Of bodies, decompressed.
        pub bytes: i64,
    }
}

/// The newest day first.
#[derive(Clone)]
pub struct UsageQuery {
    pub confined: Confined,
    pub organization: Option<String>,
    /// Days that have a part in it.
    pub window: Window,
}

impl Listing for UsageQuery {
    const OF_CONTROL: bool = true;
    type Item = UsageRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<UsageRow>, ReadError> {
        let newest = Newest {
            confined: &self.confined,
            what: "usage".to_owned(),
            tenant: "tenant_id",
            organization: &self.organization,
            key: "day, tenant_id",
        };
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        let which = |sql: &mut Sql| {
            if let Some(from) = self.window.from {
                sql.push(" AND day >= ").bind(day(from));
            }
            if let Some(to) = self.window.to {
                // A day that begins at the end has no part in it.
                let last = Timestamp::from_nanosecond(to.as_nanosecond() - 1).unwrap_or(to);
                sql.push(" AND day <= ").bind(day(last));
            }
        };
        newest.page(reads, request, which, |row: &UsageRow| (row.day, row.tenant_id.clone())).await
    }
}
