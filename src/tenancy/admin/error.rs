//! Why an administrative act is not done.

use std::fmt;

use uuid::Uuid;

use crate::storage::StorageError;

#[derive(Debug)]
pub enum AdminError {
    /// No organization that the caller may see has this name, slug or id.
    NoOrganization(String),
    /// It is deactivated, and so gets no keys.
    Inactive(String),
    /// The name or the slug is another organization's.
    Taken {
        name: String,
        slug: String,
    },
    /// No key that the caller may see has this id.
    NoKey(Uuid),
    /// The key cannot be rotated: revoked, expired, or of a deactivated organization.
    KeyOver(Uuid),
    /// The key can do more than who asks, who may therefore not do this.
    Beyond(String),
    /// The organization has as many keys as it may.
    Full,
    /// What was asked for cannot be.
    Invalid(String),
    Storage(StorageError),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrganization(name) => {
                write!(f, "no organization has the name, slug or id `{name}` (tidegate orgs list)")
            }
            Self::Inactive(name) => write!(f, "the organization `{name}` is deactivated"),
            Self::Taken { name, slug } => write!(
                f,
                "an organization with the name `{name}` or the slug `{slug}` is there already (tidegate orgs list)"
            ),
            Self::NoKey(id) => write!(f, "no key has the id {id} (tidegate keys list)"),
            Self::KeyOver(id) => write!(
                f,
                "no working key has the id {id}: unknown, revoked, expired, or of a deactivated organization (tidegate keys \
                 list)"
            ),
            Self::Beyond(what) | Self::Invalid(what) => f.write_str(what),
            Self::Full => f.write_str("the organization has as many keys as it may; revoke some"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AdminError {}

impl From<StorageError> for AdminError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<tokio_postgres::Error> for AdminError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<AdminError> for StorageError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Storage(error) => error,
            other => Self::fatal(other.to_string()),
        }
    }
}
