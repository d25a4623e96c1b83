//! GET /v1/users.

use jiff::Timestamp;
use uuid::Uuid;

use super::Confined;
use crate::query::columns::{StoredRow, columns};
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

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
    type Item = UserRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<UserRow>, ReadError> {
        let what = format!("users {} {:?}", self.confined.what(), self.organization);
        let (scope, after) = request.start::<Uuid>(&what)?;
        let mut sql = Sql::new(UserRow::select(""));
        sql.push(" WHERE true");
        for tenant_id in [&self.confined.tenant_id, &self.organization].into_iter().flatten() {
            sql.push(" AND o.tenant_id = ").bind(tenant_id.clone());
        }
        if let Some(after) = after {
            sql.push(" AND u.id < ").bind(after);
        }
        // Ids are made of the time.
        sql.push(" ORDER BY u.id DESC").push_limit(request.limit + 1);
        let found = reads.confined(&self.confined, &sql).await?;
        Page::of(found, request.limit, UserRow::read, |last| Ok(scope.encode(&UserRow::read(last)?.id)))
    }
}
