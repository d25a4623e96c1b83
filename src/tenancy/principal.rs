//! Who a request speaks for, and what the database says of a key.

use std::sync::Arc;

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{ApiKey, OrgRetention, RateLimits, Scope, Scopes};
use crate::model::listed;
use crate::storage::StorageError;

/// Who may do what, in whose name.
#[derive(Debug, PartialEq, Eq)]
pub struct Principal {
    /// The organization's slug: the tenant of everything that the request does.
    pub tenant_id: Arc<str>,
    pub holder: Holder,
    pub scopes: Scopes,
    pub limits: RateLimits,
    /// How long the organization's rows are kept.
    pub keeps: OrgRetention,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Whatever has this key.
    Key(Uuid),
    /// Somebody who has signed in.
    Person(Person),
}

/// Somebody who has signed in, and the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user_id: Uuid,
    pub session_id: Uuid,
    pub email: String,
    pub role: Role,
    /// When the session ends, however much it is used.
    pub expires_at: Timestamp,
}

listed! {
    /// What somebody is in an organization.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Role {
        /// Reads, consumes, and manages the organization.
        Admin,
        /// Reads.
        Viewer,
    }
}

impl Role {
    /// Its name in commands, answers and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }

    /// The role of this name; an error lists those that there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == name);
        role.ok_or_else(|| "must be `admin` or `viewer`".to_owned())
    }

    pub fn scopes(self) -> Scopes {
        let read = Scopes::default().with(Scope::Read);
        match self {
            Self::Admin => read.with(Scope::Consume).with(Scope::Admin),
            Self::Viewer => read,
        }
    }
}

/// By what a principal is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Key(Uuid),
    Session(Uuid),
}

impl Principal {
    pub fn named(&self) -> Named {
        match &self.holder {
            Holder::Key(id) => Named::Key(*id),
            Holder::Person(person) => Named::Session(person.session_id),
        }
    }

    /// The id of the key, or of the user: what is noted where it is noted who did something.
    pub fn id(&self) -> Uuid {
        match &self.holder {
            Holder::Key(id) => *id,
            Holder::Person(person) => person.user_id,
        }
    }

    /// What it is called where it is told what it may not do.
    pub fn who(&self) -> &'static str {
        match &self.holder {
            Holder::Key(_) => "the key",
            Holder::Person(person) => match person.role {
                Role::Admin => "an admin",
                Role::Viewer => "a viewer",
            },
        }
    }

    /// Whether it may do what needs `scope`.
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
                holder: Holder::Key(row.get(0)),
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
