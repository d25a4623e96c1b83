//! Why something of people was not done.

use super::password::HashesBusy;
use crate::storage::StorageError;

#[derive(Debug)]
pub enum PeopleError {
    /// What is not there, or not of this tenant: the two look the same.
    NotFound(&'static str),
    /// Somebody has the e-mail address already.
    Exists,
    /// The organization has as many users as it may have.
    Full,
    /// The organization is deactivated: nobody is added to it.
    Inactive,
    /// E-mail address or password is wrong, or the user may not sign in: all look the same outside.
    Refused,
    /// Too many attempts to sign in have failed.
    TooMany {
        retry_after_s: u32,
    },
    /// More hashes of passwords are wanted than may wait.
    Busy,
    Storage(StorageError),
}

impl From<StorageError> for PeopleError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<tokio_postgres::Error> for PeopleError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<HashesBusy> for PeopleError {
    fn from(HashesBusy: HashesBusy) -> Self {
        Self::Busy
    }
}
