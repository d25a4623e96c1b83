//! GET /v1/sessions.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Confined, Newest};
use crate::limits::SESSION_IDLE;
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

columns! {
    /// A session as it is listed: never its token.
    pub struct SessionRow from "sessions s JOIN users u ON u.id = s.user_id JOIN organizations o ON o.id = u.org_id" {
        pub id: Uuid = "s.id",
        pub user_id: Uuid = "s.user_id",
        pub email: String = "u.email",
        pub role: String = "u.role",
        pub tenant_id: String = "o.tenant_id",
        pub created_at: Timestamp = "s.created_at",
        pub expires_at: Timestamp = "s.expires_at",
        /// To the minute.
        pub last_used_at: Timestamp = "s.last_used_at",
        pub revoked_at: Option<Timestamp> = "s.revoked_at",
        /// From where, and with what, it was begun.
        pub address: String = "host(s.address)",
        pub user_agent: Option<String> = "s.user_agent",
        /// Whether it is good.
        pub is_active: bool = "(s.revoked_at IS NULL AND s.expires_at > now() AND s.last_used_at > now() - INTERVAL '2 hours' AND u.is_active AND o.is_active)",
    }
}

// What `is_active` says.
const _: () = assert!(SESSION_IDLE.as_secs() == 2 * 3600);

/// The newest first, also those that are over.
#[derive(Clone)]
pub struct SessionsQuery {
    pub confined: Confined,
    /// Of this user.
    pub user: Option<Uuid>,
}

impl Listing for SessionsQuery {
    const OF_CONTROL: bool = true;
    type Item = SessionRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<SessionRow>, ReadError> {
        let newest = Newest {
            confined: &self.confined,
            what: format!("sessions {:?}", self.user),
            tenant: "o.tenant_id",
            organization: &None,
            key: "s.id",
        };
        let of_user = |sql: &mut Sql| {
            if let Some(user) = self.user {
                sql.push(" AND s.user_id = ").bind(user);
            }
        };
        newest.page(reads, request, of_user, |row: &SessionRow| row.id).await
    }
}
