//! GET /v1/audit.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Confined, Newest};
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;
use crate::query::windows::Window;

columns! {
    /// An administrative act.
    pub struct AuditRow from "audit_log" {
        pub id: i64,
        pub at: Timestamp,
        /// Whose organization it concerns; None: the installation.
        pub tenant_id: Option<String>,
        /// key, user or command.
        pub actor_kind: String,
        /// Of a key or a user.
        pub actor_id: Option<Uuid>,
        /// The label of a key, the address of a user, account and host of a command.
        pub actor: String,
        pub action: String,
        /// What it was done to.
        pub target: Option<String>,
        /// What was asked for; never a secret.
        pub details: Json<Box<RawValue>>,
        pub address: Option<String> = "host(address)",
        pub request_id: Option<String>,
    }
}

/// The newest first.
#[derive(Clone)]
pub struct AuditQuery {
    pub confined: Confined,
    /// What concerns this organization, by its slug.
    pub organization: Option<String>,
    pub actions: Vec<String>,
    /// Names, or ids of keys and users.
    pub actors: Vec<String>,
    pub targets: Vec<String>,
    /// Of `at`.
    pub window: Window,
}

impl Listing for AuditQuery {
    const OF_CONTROL: bool = true;
    type Item = AuditRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<AuditRow>, ReadError> {
        let Self { confined, organization, actions, actors, targets, window } = self;
        let newest = Newest {
            confined,
            what: format!("audit {actions:?} {actors:?} {targets:?}"),
            tenant: "tenant_id",
            organization,
            key: "id",
        };
        let which = |sql: &mut Sql| {
            sql.push_any_of("action", actions);
            sql.push_any_of("target", targets);
            if !actors.is_empty() {
                let ids: Vec<Uuid> = actors.iter().filter_map(|actor| Uuid::try_parse(actor).ok()).collect();
                sql.push(" AND (actor = ANY (").bind(actors.clone()).push(") OR actor_id = ANY (").bind(ids).push("))");
            }
            sql.push_within("at", window);
        };
        newest.page(reads, request, which, |row: &AuditRow| row.id).await
    }
}
