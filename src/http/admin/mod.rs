//! Administration: organizations, keys, and what was done. An admin sees and changes its own organization, and another's is as
//! missing; an operator all.

mod audit;
mod keys;
mod organizations;
mod usage;

use hyper::StatusCode;

pub use audit::audit;
pub use keys::{
    alter as alter_key, create as create_key, list as keys, revoke as revoke_key, rotate as rotate_key,
    show as show_key,
};
pub use organizations::{
    alter as alter_organization, create as create_organization, deactivate as deactivate_organization,
    list as organizations, show as show_organization,
};
pub use usage::usage;

use super::Api;
use super::call::Call;
use crate::protocols::{Problem, ProblemCode};
use crate::query::Confined;
use crate::tenancy::acts::Actor;
use crate::tenancy::admin::AdminError;
use crate::tenancy::administration::{Administration, Place};
use crate::tenancy::control::By;
use crate::tenancy::{Principal, Scope};

/// Whose rows somebody sees: None are everybody's.
pub fn sees(principal: &Principal) -> Option<&str> {
    (!principal.may(Scope::Operator)).then_some(&*principal.tenant_id)
}

fn by<'a>(call: &Call<'a>, actor: &'a Actor) -> By<'a> {
    By { actor, tenant_id: sees(call.principal), scopes: call.principal.scopes }
}

fn administration<'a>(call: &Call<'a>) -> Result<&'a Administration, Problem> {
    Ok(&call.api.attached()?.administration)
}

async fn place(call: &Call<'_>) -> Result<Place, Problem> {
    administration(call)?.begin().await.map_err(|error| problem(call.api, error.into()))
}

pub fn confined(call: &Call<'_>) -> Result<Confined, Problem> {
    let tenant_id = sees(call.principal).map(str::to_owned);
    Ok(Confined { pool: administration(call)?.pool(), tenant_id })
}

/// The organization that a parameter names: by its slug, which must be the admin's own.
pub fn named(call: &mut Call<'_>) -> Result<Option<String>, Problem> {
    let named = call.params.take("organization");
    match (&named, sees(call.principal)) {
        (Some(other), Some(own)) if other != own => Err(Problem::not_found("organization")),
        _ => Ok(named),
    }
}

/// 403 for what only operators do.
fn operators_alone(call: &Call<'_>, what: &str) -> Result<(), Problem> {
    match call.principal.may(Scope::Operator) {
        true => Ok(()),
        false => {
            let detail = format!("{what} needs the scope `operator`; the key has `{}`", call.principal.scopes);
            Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
        }
    }
}

fn problem(api: &Api, error: AdminError) -> Problem {
    let conflict = |code, detail: String| Problem::new(StatusCode::CONFLICT, code, detail);
    match error {
        AdminError::NoOrganization(_) => Problem::not_found("organization"),
        AdminError::NoKey(_) => Problem::not_found("key"),
        AdminError::Inactive(name) => conflict(
            ProblemCode::OrganizationInactive,
            format!("the organization `{name}` is deactivated: activate it first (PATCH with is_active)"),
        ),
        AdminError::Taken { .. } => conflict(
            ProblemCode::OrganizationExists,
            "an organization has this name or this slug already, in capital letters or small ones".into(),
        ),
        AdminError::KeyOver(_) => conflict(
            ProblemCode::KeyOver,
            "the key is revoked or has expired, or its organization is deactivated: make another (POST /v1/keys)"
                .into(),
        ),
        AdminError::Beyond(detail) => Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail),
        AdminError::Full => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::KeyQuota,
            "the organization has as many keys as it may, those made within a day counted too: revoke some, or wait",
        ),
        AdminError::Invalid(detail) => Problem::bad_request(ProblemCode::InvalidBody, detail),
        AdminError::Storage(error) => {
            tracing::warn!(%error, "an administrative act failed");
            let detail = "the database cannot be asked at the moment";
            Problem::unavailable(ProblemCode::DatabaseUnavailable, detail, api.ingest.retry_after_s())
        }
    }
}
