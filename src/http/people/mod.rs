//! People over HTTP: users are administered, and sign in.

mod body;
mod cookie;
mod sessions;
mod users;

pub use sessions::{end, end_own, list as sessions, own, sign_in};
pub use users::{alter, change_password, create, delete, list as users, show};

use hyper::StatusCode;

use super::reads;
use super::{Api, quota};
use crate::limits::{SIGN_IN_WINDOW, USERS_PER_ORGANIZATION_MAX};
use crate::protocols::{Problem, ProblemCode};
use crate::query::ReadError;
use crate::tenancy::people::PeopleError;

fn problem(api: &Api, error: PeopleError) -> Problem {
    match error {
        PeopleError::NotFound(what) => Problem::not_found(what),
        PeopleError::Exists => Problem::new(
            StatusCode::CONFLICT,
            ProblemCode::UserExists,
            "somebody has this e-mail address already, perhaps in another organization; upper and lower case are one",
        ),
        PeopleError::Full => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::UserQuota,
            format!(
                "the organization has as many users as one may have ({USERS_PER_ORGANIZATION_MAX}, deactivated ones too): give one of them \
                 another address"
            ),
        ),
        PeopleError::Inactive => {
            Problem::bad_request(ProblemCode::InvalidBody, "the organization is deactivated: activate it first")
        }
        PeopleError::Refused => {
            Problem::unauthorized("e-mail address or password is wrong, or the account is not active")
        }
        PeopleError::TooMany { retry_after_s } => quota::sign_ins(retry_after_s, SIGN_IN_WINDOW),
        PeopleError::Busy => {
            let detail = "more passwords are being looked at than may wait";
            Problem::unavailable(ProblemCode::Overloaded, detail, 2)
        }
        PeopleError::Storage(error) => reads::problem(api, ReadError::Storage(error)),
    }
}
