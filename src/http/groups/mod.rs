//! Consumer groups over HTTP: making and altering them, taking events and saying what became of them.

pub mod body;
mod manage;
mod misfit;
mod parked;
mod settle;
mod take;

pub use manage::{alter, create, delete, lag, list, pause, reset, resume, show};
pub use parked::{drop, list as parked, park, replay};
pub use settle::{ack, commit, extend, leave, nack, take_over};
pub use take::take;

use std::sync::Arc;

use hyper::StatusCode;

use super::Api;
use super::call::Call;
use super::reads;
use crate::groups::{GroupError, GroupName, Groups};
use crate::limits::GROUP_NAME_CHARS_MAX;
use crate::protocols::{Problem, ProblemCode};
use crate::query::{CursorError, ReadError};

/// The group that a path names.
fn at(call: &Call<'_>) -> GroupName {
    GroupName {
        tenant_id: Arc::clone(&call.principal.tenant_id),
        stream: call.path.get("name").to_owned(),
        name: call.path.get("group").to_owned(),
    }
}

fn groups(call: &Call<'_>) -> Result<Groups, Problem> {
    Ok(call.api.home(&call.principal.tenant_id)?.groups.of(&call.principal.tenant_id))
}

/// Whether a member may be called so. A query has no NUL; a body may.
fn is_member(name: &str) -> bool {
    (1..=GROUP_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains('\0')
}

fn problem(api: &Api, error: GroupError) -> Problem {
    let conflict = |code, detail: &str| Problem::new(StatusCode::CONFLICT, code, detail);
    match error {
        GroupError::NotFound(what) => Problem::not_found(what),
        GroupError::Exists => {
            conflict(ProblemCode::GroupExists, "the stream has a group of this name: use it, alter it (PATCH), or choose another name")
        }
        GroupError::Busy => {
            let detail = "a consumer's open transaction, or another change, holds the group; try again in a moment";
            conflict(ProblemCode::GroupBusy, detail).retry_after(1)
        }
        GroupError::Superseded(generation) => conflict(
            ProblemCode::GenerationOver,
            "another has taken over, or the group was reset: nothing was committed; read on from where the group is now",
        )
        .with("generation", generation),
        GroupError::LeaseLost => conflict(
            ProblemCode::LeaseOver,
            "the lease is over: acknowledged already, given back, or not acknowledged in time and given to another; take \
             again",
        ),
        GroupError::HasMembers => conflict(
            ProblemCode::GroupHasMembers,
            "members hold leases: each reads with `member` and acknowledges its own",
        ),
        GroupError::Unsuited(advice) => Problem::bad_request(ProblemCode::GroupKind, advice),
        GroupError::Full(what) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::GroupQuota,
            format!("the organization has as many {what} as it may; delete some"),
        ),
        GroupError::OutOfLog => Problem::bad_request(ProblemCode::OffsetPastEnd, "the stream does not have this offset"),
        GroupError::Read(ReadError::Cursor { error: CursorError::Malformed | CursorError::OtherQuery, .. }) => {
            Problem::bad_request(ProblemCode::InvalidParameter, "the cursor is none of this stream")
        }
        GroupError::Read(error) => reads::problem(api, error),
        GroupError::Storage(error) => reads::problem(api, ReadError::Storage(error)),
    }
}
