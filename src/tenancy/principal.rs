//! The holder of a key, and what the database says of the key.

use std::sync::Arc;

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ApiKey, OrgRetention, RateLimits, Scope, Scopes};
use crate::storage::StorageError;

/// The holder of a verified key.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The organization's slug: the tenant of everything that the request does.
    pub tenant_id: Arc<str>,
    pub key_id: Uuid,
    pub scopes: Scopes,
    pub limits: RateLimits,
    /// How long the organization's rows are kept.
    pub keeps: OrgRetention,
}

impl Principal {
    /// Whether the key may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
}

/// A key that is good, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    pub principal: Arc<Principal>,
    pub expires_at: Option<Timestamp>,
}

impl Record {
    /// The records of these keys; who is not among them is no good key. The columns are those of this file.
    pub const LOOK_UP: &str = include_str!("../../sql/queries/key_lookup.sql");

    pub fn of(row: &Row) -> Result<Self, StorageError> {
        let names: Vec<String> = row.get(2);
        let hash: &[u8] = row.get(1);
        Ok(Self {
            hash: hash.try_into().map_err(|_| StorageError::fatal("a key's hash is not 32 bytes"))?,
            principal: Arc::new(Principal {
                tenant_id: row.get::<_, &str>(4).into(),
                key_id: row.get(0),
                scopes: Scopes::parse(&names.join(",")).map_err(StorageError::fatal)?,
                limits: RateLimits::of(row, 5),
                keeps: OrgRetention::of(row, 8),
            }),
            expires_at: row.get(3),
        })
    }

    /// Its holder, if this is the key.
    pub fn accept(self, key: &ApiKey) -> Option<Arc<Principal>> {
        let same = bool::from(self.hash.ct_eq(&key.hash()));
        self.holder().filter(|_| same)
    }

    /// Its holder, unless it has expired.
    pub fn holder(self) -> Option<Arc<Principal>> {
        let expired = self.expires_at.is_some_and(|at| at <= Timestamp::now());
        (!expired).then_some(self.principal)
    }
}
