//! The table of routes: method, pattern, scopes, handler. Those on which items are sent are in [`crate::protocols`].

use hyper::Method;

use super::call::{Answering, Call, Endpoint, Handler};
use super::noting::Noted;
use super::{
    Api, admin, console, definitions, groups, keys, lifecycle, metrics, nodes, operation, people, reads, replay,
    streams,
};
use crate::tenancy::Scope;

const READ: &[Scope] = &[Scope::Read];
/// A sender may ask where its request is; so may readers.
const READ_OR_INGEST: &[Scope] = &[Scope::Read, Scope::Ingest];
/// Of what is in a stream.
const READ_OR_CONSUME: &[Scope] = &[Scope::Read, Scope::Consume];
const ADMIN: &[Scope] = &[Scope::Admin];
/// Of the whole installation.
const OPERATOR: &[Scope] = &[Scope::Operator];
const CONSUME: &[Scope] = &[Scope::Consume];
/// Of sessions: a viewer sees its own.
const READ_OR_ADMIN: &[Scope] = &[Scope::Read, Scope::Admin];
/// Groups are made by who reads with them, or for them.
const CONSUME_OR_ADMIN: &[Scope] = &[Scope::Consume, Scope::Admin];
const ANY: &[Scope] = &[Scope::Ingest, Scope::Read, Scope::Consume, Scope::Admin];
/// How groups stand.
const SEE_GROUPS: &[Scope] = &[Scope::Read, Scope::Consume, Scope::Admin];

/// What may be changed of an organization.
const ALTERED: &[&str] =
    &["organizations.rename", "organizations.retention", "organizations.activate", "organizations.deactivate"];

const USER_ALTERED: &[&str] = &["users.alter", "users.set_password", "users.activate", "users.deactivate"];

/// Every other route. Literal segments of a pattern count before parameters, in whatever order they stand here.
pub const ROUTES: &[Endpoint] = &[
    get("/v1/events", READ, |c| Box::pin(reads::events(c.api, c.principal, c.parts, c.params))),
    get("/v1/events/counts", READ, |c| Box::pin(reads::counts(c.api, c.principal, c.parts, c.params))),
    get("/v1/events/{id}", READ, |c| Box::pin(reads::event(c.api, c.principal, c.path.get("id"), c.params))),
    get("/v1/events/{id}/related", READ, |c| {
        Box::pin(reads::related(c.api, c.principal, c.path.get("id"), c.parts, c.params))
    }),
    get("/v1/metrics", READ, |c| Box::pin(reads::metrics(c.api, c.principal, c.parts, c.params))),
    get("/v1/metrics/trend", READ, |c| Box::pin(reads::trend(c.api, c.principal, c.parts, c.params))),
    get("/v1/metrics/forecast", READ, |c| Box::pin(reads::forecast(c.api, c.principal, c.parts, c.params))),
    get("/v1/metrics/catalog", READ, |c| Box::pin(reads::catalog(c.api, c.principal, c.parts, c.params))),
    get("/v1/correlations", READ, |c| Box::pin(reads::correlations(c.api, c.principal, c.parts, c.params))),
    get("/v1/services", READ, |c| Box::pin(reads::services(c.api, c.principal, c.parts, c.params))),
    get("/v1/deployments", READ, |c| Box::pin(reads::deployments(c.api, c.principal, c.parts, c.params))),
    get("/v1/assets", READ, |c| Box::pin(reads::assets(c.api, c.principal, c.parts, c.params))),
    get("/v1/assets/{id}", READ, |c| Box::pin(reads::asset(c.api, c.principal, c.path.get("id"), c.params))),
    get("/v1/actions", READ, |c| Box::pin(reads::actions(c.api, c.principal, c.parts, c.params))),
    get("/v1/receipts/{id}", READ_OR_INGEST, |c| {
        Box::pin(reads::receipt(c.api, c.principal, c.parts, c.path.get("id"), c.params))
    }),
    get("/v1/dead-letters", READ, |c| Box::pin(reads::dead_letters(c.api, c.principal, c.parts, c.params))),
    get("/v1/dead-letters/{id}", READ, |c| {
        Box::pin(reads::dead_letter(c.api, c.principal, c.path.get("id"), c.params))
    }),
    get("/v1/dead-letters/{id}/original", READ, |c| {
        Box::pin(reads::original(c.api, c.principal, c.path.get("id"), c.params))
    }),
    sent(Method::POST, "/v1/dead-letters/{id}/replay", ADMIN, Noted::After("dead_letters.replay"), |c| {
        Box::pin(replay::one(c))
    }),
    sent(Method::POST, "/v1/dead-letters/replay", ADMIN, Noted::After("dead_letters.replay_by_filter"), |c| {
        Box::pin(replay::by_filter(c))
    }),
    get("/v1/streams", READ_OR_CONSUME, |c| Box::pin(reads::streams(c.api, c.principal, c.parts, c.params))),
    sent(Method::POST, "/v1/streams", ADMIN, Noted::After("streams.create"), |c| Box::pin(definitions::create(c))),
    get("/v1/streams/{name}", SEE_GROUPS, |c| Box::pin(definitions::show(c))),
    sent(Method::PATCH, "/v1/streams/{name}", ADMIN, Noted::After("streams.alter"), |c| {
        Box::pin(definitions::alter(c))
    }),
    sent(Method::DELETE, "/v1/streams/{name}", ADMIN, Noted::After("streams.delete"), |c| {
        Box::pin(definitions::delete(c))
    }),
    get("/v1/streams/{name}/schemas", SEE_GROUPS, |c| Box::pin(definitions::versions(c))),
    get("/v1/streams/{name}/schemas/{version}", SEE_GROUPS, |c| Box::pin(definitions::version(c))),
    Endpoint {
        method: Method::GET,
        path: "/v1/streams/{name}/events",
        handler: Handler::Ticketed(READ_OR_CONSUME, |c| Box::pin(streams::events(c))),
    },
    sent(Method::POST, "/v1/streams/{name}/tickets", READ_OR_CONSUME, Noted::Nothing, |c| Box::pin(streams::ticket(c))),
    get("/v1/streams/{name}/groups", SEE_GROUPS, |c| Box::pin(groups::list(c))),
    sent(Method::POST, "/v1/streams/{name}/groups", CONSUME_OR_ADMIN, Noted::After("groups.create"), |c| {
        Box::pin(groups::create(c))
    }),
    get("/v1/streams/{name}/groups/{group}", SEE_GROUPS, |c| Box::pin(groups::show(c))),
    sent(Method::PATCH, "/v1/streams/{name}/groups/{group}", CONSUME_OR_ADMIN, Noted::After("groups.alter"), |c| {
        Box::pin(groups::alter(c))
    }),
    sent(Method::DELETE, "/v1/streams/{name}/groups/{group}", CONSUME_OR_ADMIN, Noted::After("groups.delete"), |c| {
        Box::pin(groups::delete(c))
    }),
    get("/v1/streams/{name}/groups/{group}/events", CONSUME, |c| Box::pin(groups::take(c))),
    get("/v1/streams/{name}/groups/{group}/lag", SEE_GROUPS, |c| Box::pin(groups::lag(c))),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/offset", CONSUME, Noted::Nothing, |c| {
        Box::pin(groups::commit(c))
    }),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/takeover", CONSUME, Noted::After("groups.takeover"), |c| {
        Box::pin(groups::take_over(c))
    }),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/ack", CONSUME, Noted::Nothing, |c| Box::pin(groups::ack(c))),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/nack", CONSUME, Noted::Nothing, |c| {
        Box::pin(groups::nack(c))
    }),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/extend", CONSUME, Noted::Nothing, |c| {
        Box::pin(groups::extend(c))
    }),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/leave", CONSUME, Noted::Nothing, |c| {
        Box::pin(groups::leave(c))
    }),
    sent(Method::POST, "/v1/streams/{name}/groups/{group}/park", CONSUME, Noted::After("groups.park"), |c| {
        Box::pin(groups::park(c))
    }),
    get("/v1/streams/{name}/groups/{group}/parked", SEE_GROUPS, |c| Box::pin(groups::parked(c))),
    sent(
        Method::POST,
        "/v1/streams/{name}/groups/{group}/parked/replay",
        CONSUME_OR_ADMIN,
        Noted::After("groups.replay"),
        |c| Box::pin(groups::replay(c)),
    ),
    sent(
        Method::POST,
        "/v1/streams/{name}/groups/{group}/parked/drop",
        CONSUME_OR_ADMIN,
        Noted::After("groups.drop"),
        |c| Box::pin(groups::drop(c)),
    ),
    sent(
        Method::POST,
        "/v1/streams/{name}/groups/{group}/reset",
        CONSUME_OR_ADMIN,
        Noted::After("groups.reset"),
        |c| Box::pin(groups::reset(c)),
    ),
    sent(
        Method::POST,
        "/v1/streams/{name}/groups/{group}/pause",
        CONSUME_OR_ADMIN,
        Noted::After("groups.pause"),
        |c| Box::pin(groups::pause(c)),
    ),
    sent(
        Method::POST,
        "/v1/streams/{name}/groups/{group}/resume",
        CONSUME_OR_ADMIN,
        Noted::After("groups.resume"),
        |c| Box::pin(groups::resume(c)),
    ),
    Endpoint {
        method: Method::POST,
        path: "/v1/sessions",
        handler: Handler::Unkeyed(|u| Box::pin(people::sign_in(u))),
    },
    get("/v1/sessions", READ_OR_ADMIN, |c| Box::pin(people::sessions(c))),
    get("/v1/sessions/self", READ_OR_ADMIN, |c| Box::pin(people::own(c))),
    sent(Method::DELETE, "/v1/sessions/self", READ_OR_ADMIN, Noted::Within(&["sessions.end"]), |c| {
        Box::pin(people::end_own(c))
    }),
    sent(
        Method::DELETE,
        "/v1/sessions/{id}",
        READ_OR_ADMIN,
        Noted::Within(&["sessions.end", "sessions.revoke"]),
        |c| Box::pin(people::end(c)),
    ),
    sent(Method::POST, "/v1/users", ADMIN, Noted::Within(&["users.create"]), |c| Box::pin(people::create(c))),
    get("/v1/users", ADMIN, |c| Box::pin(people::users(c))),
    sent(Method::POST, "/v1/users/self/password", READ_OR_ADMIN, Noted::Within(&["users.set_password"]), |c| {
        Box::pin(people::change_password(c))
    }),
    get("/v1/users/{id}", ADMIN, |c| Box::pin(people::show(c))),
    sent(Method::PATCH, "/v1/users/{id}", ADMIN, Noted::Within(USER_ALTERED), |c| Box::pin(people::alter(c))),
    sent(Method::DELETE, "/v1/users/{id}", ADMIN, Noted::Within(&["users.deactivate"]), |c| {
        Box::pin(people::delete(c))
    }),
    get("/v1/keys/self", ANY, |c| Box::pin(async move { keys::own(c.principal, c.params) })),
    get("/v1/keys", ADMIN, |c| Box::pin(admin::keys(c))),
    sent(Method::POST, "/v1/keys", ADMIN, Noted::Within(&["keys.create"]), |c| Box::pin(admin::create_key(c))),
    get("/v1/keys/{id}", ADMIN, |c| Box::pin(admin::show_key(c))),
    sent(Method::PATCH, "/v1/keys/{id}", ADMIN, Noted::Within(&["keys.alter"]), |c| Box::pin(admin::alter_key(c))),
    sent(Method::DELETE, "/v1/keys/{id}", ADMIN, Noted::Within(&["keys.revoke"]), |c| Box::pin(admin::revoke_key(c))),
    sent(Method::POST, "/v1/keys/{id}/rotate", ADMIN, Noted::Within(&["keys.rotate"]), |c| {
        Box::pin(admin::rotate_key(c))
    }),
    get("/v1/organizations", ADMIN, |c| Box::pin(admin::organizations(c))),
    sent(Method::POST, "/v1/organizations", ADMIN, Noted::Within(&["organizations.create"]), |c| {
        Box::pin(admin::create_organization(c))
    }),
    get("/v1/organizations/{id}", ADMIN, |c| Box::pin(admin::show_organization(c))),
    sent(Method::PATCH, "/v1/organizations/{id}", ADMIN, Noted::Within(ALTERED), |c| {
        Box::pin(admin::alter_organization(c))
    }),
    sent(Method::DELETE, "/v1/organizations/{id}", ADMIN, Noted::Within(&["organizations.deactivate"]), |c| {
        Box::pin(admin::deactivate_organization(c))
    }),
    get("/v1/audit", ADMIN, |c| Box::pin(admin::audit(c))),
    get("/v1/usage", READ_OR_ADMIN, |c| Box::pin(admin::usage(c))),
    get("/v1/lifecycle", ADMIN, |c| Box::pin(lifecycle::status(c.api, c.principal, c.params))),
    get("/v1/nodes", OPERATOR, |c| Box::pin(async move { nodes::list(c) })),
    open("/healthz", |_| Box::pin(async { Ok(operation::healthz()) })),
    Endpoint {
        method: Method::GET,
        path: "/readyz",
        handler: Handler::Told(|visit| Box::pin(async move { Ok(operation::readyz(&visit).await) })),
    },
    Endpoint { method: Method::GET, path: "/metrics", handler: Handler::Either(metrics::metrics) },
    open("/openapi.json", |_| Box::pin(async { Ok(operation::openapi()) })),
    open("/", |_| Box::pin(async { Ok(console::console()) })),
];

/// Routes that administer, as method and path, with the actions that the audit log has of them.
pub fn noted() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    ROUTES.iter().filter_map(|route| match &route.handler {
        Handler::Bodied(_, Noted::After(action), _) => {
            Some((route.method.as_str(), route.path, std::slice::from_ref(action)))
        }
        Handler::Bodied(_, Noted::Within(actions), _) => Some((route.method.as_str(), route.path, *actions)),
        _ => None,
    })
}

const fn get(path: &'static str, scopes: &'static [Scope], handler: for<'a> fn(Call<'a>) -> Answering<'a>) -> Endpoint {
    Endpoint { method: Method::GET, path, handler: Handler::Keyed(scopes, handler) }
}

/// With a small body, which may be empty, and what the audit log has of it.
const fn sent(
    method: Method,
    path: &'static str,
    scopes: &'static [Scope],
    noted: Noted,
    handler: for<'a> fn(Call<'a>) -> Answering<'a>,
) -> Endpoint {
    Endpoint { method, path, handler: Handler::Bodied(scopes, noted, handler) }
}

const fn open(path: &'static str, handler: for<'a> fn(&'a Api) -> Answering<'a>) -> Endpoint {
    Endpoint { method: Method::GET, path, handler: Handler::Open(handler) }
}
