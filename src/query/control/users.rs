//! GET /v1/users.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Confined, Newest};
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;

columns! {
    /// A user as it is listed: never the password's hash.
    pub struct UserRow from "users u JOIN organizations o ON o.id = u.org_id" {
        pub id: Uuid = "u.id",
        pub tenant_id: String = "o.tenant_id",
        pub email: String = "u.email",
        pub role: String = "u.role",
        pub is_active: bool = "u.is_active",
        pub created_at: Timestamp = "u.created_at",
        pub password_changed_at: Timestamp = "u.password_changed_at",
        pub last_login_at: Option<Timestamp> = "u.last_login_at",
        pub deactivated_at: Option<Timestamp> = "u.deactivated_at",
    }
}

/// The newest first.
#[derive(Clone)]
pub struct UsersQuery {
    pub confined: Confined,
    /// Of this organization, by its slug.
    pub organization: Option<String>,
}

impl Listing for UsersQuery {
    const OF_CONTROL: bool = true;
    type Item = UserRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<UserRow>, ReadError> {
        let newest = Newest {
            confined: &self.confined,
            what: "users".into(),
            tenant: "o.tenant_id",
            organization: &self.organization,
            key: "u.id",
        };
        newest.page(reads, request, |_| {}, |row: &UserRow| row.id).await
    }
}
