//! /v1/organizations: made, listed, named, kept for so long, deactivated.

use hyper::StatusCode;
use serde::{Deserialize, Deserializer};

use super::{by, confined, operators_alone, place, problem};
use crate::http::call::Call;
use crate::http::groups::body::{self, invalid};
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::json as json_answer;
use crate::limits::ORG_RETENTION_DAYS_MAX;
use crate::protocols::Problem;
use crate::query::OrganizationsQuery;
use crate::tenancy::admin::{self, Organization};
use crate::tenancy::control::{self, OrganizationChange};
use crate::tenancy::retention::RetentionChange;
use crate::tenancy::{Scope, acts};
use crate::unseen::is_unseen;

/// Characters of an organization's name.
const NAME_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    slug: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    is_active: Option<bool>,
    /// Days, or null: as long as everybody's.
    #[serde(default, deserialize_with = "given")]
    events_retention_days: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    metrics_retention_days: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    correlations_retention_days: Option<Option<u32>>,
}

/// What is null is another thing than what is not there.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

fn checked(name: &str) -> Result<(), Problem> {
    let length = name.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&length) && !name.chars().any(is_unseen) && !name.trim().is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "`name` must have 1 to {NAME_CHARS_MAX} characters, and none that cannot be seen or turn others round"
    )))
}

/// POST /v1/organizations
pub async fn create(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    operators_alone(&call, "making organizations")?;
    let New { name, slug } = body::read_kept(&call.body)?;
    checked(&name)?;
    if slug.as_ref().is_some_and(|slug| slug.contains('\0')) {
        return Err(invalid("`slug` holds a NUL"));
    }
    let (actor, mut place) = (call.actor(), place(&call).await?);
    let made = control::create_organization(&mut place.client, &by(&call, &actor), &name, slug.as_deref()).await;
    Ok(json_answer(StatusCode::CREATED, &made.map_err(|error| problem(call.api, error))?))
}

/// GET /v1/organizations
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let is_active = call.params.take_switch("active")?;
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query = OrganizationsQuery { confined: confined(&call)?, is_active };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}

/// GET /v1/organizations/{id}
pub async fn show(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let mut place = place(&call).await?;
    let found = async {
        let transaction = acts::begin(&mut place.client, super::sees(call.principal)).await?;
        let id = admin::find_organization(transaction.client(), call.path.get("id"), false).await?;
        admin::get_organization(transaction.client(), id).await
    };
    Ok(json_answer(StatusCode::OK, &found.await.map_err(|error| problem(call.api, error))?))
}

/// PATCH /v1/organizations/{id}
pub async fn alter(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let sent: Altered = body::read_kept(&call.body)?;
    if let Some(name) = &sent.name {
        checked(name)?;
    }
    let retention = RetentionChange {
        events_days: sent.events_retention_days,
        metrics_days: sent.metrics_retention_days,
        correlations_days: sent.correlations_retention_days,
    };
    let days = [retention.events_days, retention.metrics_days, retention.correlations_days];
    if days.into_iter().flatten().flatten().any(|days| !(1..=ORG_RETENTION_DAYS_MAX).contains(&days)) {
        return Err(invalid(format!("days of retention must be from 1 to {ORG_RETENTION_DAYS_MAX}, or null")));
    }
    let change = OrganizationChange { name: sent.name.as_deref(), is_active: sent.is_active, retention };
    let beyond = change.is_active.is_some() || retention.is_any();
    if beyond && !call.principal.may(Scope::Operator) {
        // Of another's organization it is not even said that it is there.
        show_first(&call).await?;
        operators_alone(&call, "deactivating, activating and retention")?;
    }
    Ok(json_answer(StatusCode::OK, &altered(&call, change).await?))
}

/// DELETE /v1/organizations/{id}
pub async fn deactivate(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    if !call.principal.may(Scope::Operator) {
        show_first(&call).await?;
        operators_alone(&call, "deactivating organizations")?;
    }
    let change = OrganizationChange { is_active: Some(false), ..OrganizationChange::default() };
    Ok(json_answer(StatusCode::OK, &altered(&call, change).await?))
}

async fn altered(call: &Call<'_>, change: OrganizationChange<'_>) -> Result<Organization, Problem> {
    let (actor, mut place) = (call.actor(), place(call).await?);
    let table = &call.api.attached()?.administration.retention;
    let which = call.path.get("id");
    let altered = control::alter_organization(&mut place.client, &by(call, &actor), which, change, table).await;
    altered.map_err(|error| problem(call.api, error))
}

/// 404 for an organization that the caller does not see.
async fn show_first(call: &Call<'_>) -> Result<(), Problem> {
    let mut place = place(call).await?;
    let found = async {
        let transaction = acts::begin(&mut place.client, super::sees(call.principal)).await?;
        admin::find_organization(transaction.client(), call.path.get("id"), false).await
    };
    found.await.map(drop).map_err(|error| problem(call.api, error))
}
