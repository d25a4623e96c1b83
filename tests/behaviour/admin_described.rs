//! What administration answers, against its description.

use serde_json::json;

use crate::admin_http::with;
use crate::described::Described;
use crate::env::{Env, Test, TestResult};
use crate::tests;

pub const TESTS: &[Test] = tests!(answers_of_administration_are_what_is_described);

fn answers_of_administration_are_what_is_described(env: &Env) -> TestResult {
    let tidegate = env.share();
    let operator = with(&tidegate, env, "default", "operator");
    let described = Described::by(&operator);
    let all = described.operations(&["/v1/organizations", "/v1/keys", "/v1/audit", "/v1/usage"]);
    let all: Vec<String> = all.into_iter().filter(|operation| !operation.ends_with("/v1/keys/self")).collect();
    let slug = format!("{}-described", env.organization());
    let organization = json!({ "name": slug, "slug": slug }).to_string();
    let send = |operation: &str, path: &str, body: &str| described.send(&operator, operation, path, body);
    send("POST /v1/organizations", "/v1/organizations", &organization).expect(201);
    send("POST /v1/organizations", "/v1/organizations", &organization).problem(409, "organization_exists");
    let key = json!({ "organization": slug, "scopes": ["read"] }).to_string();
    let made = send("POST /v1/keys", "/v1/keys", &key).expect(201);
    let at = |operation: &str| {
        let path = operation.split_once(' ').unwrap().1;
        let id = if path.starts_with("/v1/keys") { made["id"].as_str().unwrap() } else { &slug };
        path.replace("{id}", id)
    };
    let nobody =
        |operation: &str| operation.split_once(' ').unwrap().1.replace("{id}", "00000000-0000-0000-0000-000000000000");
    let sender = with(&tidegate, env, "default", "ingest");
    for operation in &all {
        let path = at(operation);
        described.send(&tidegate.anonymous(), operation, &path, "").problem(401, "unauthorized");
        described.send(&sender, operation, &path, "").problem(403, "forbidden");
        send(operation, &format!("{path}?nothing=1"), "").problem(400, "invalid_parameter");
        if !operation.starts_with("GET") {
            send(operation, &path, "{").problem(400, "body_not_json");
            send(operation, &path, r#"{"nothing":1}"#).problem(400, "invalid_body");
            send(operation, &path, &" ".repeat(300 << 10)).problem(413, "body_too_large");
            let packed = [("content-encoding", "br")];
            described.send_as(&operator, operation, &path, &packed, "{}").problem(415, "unsupported_encoding");
        } else if !operation.contains('{') {
            described
                .send_as(&operator, operation, &path, &[("accept", "image/png")], "")
                .problem(406, "not_acceptable");
            assert_eq!(send(operation, &format!("{path}?limit=1"), "").status, 200);
        }
        if operation.contains("{id}") {
            let body = if operation.ends_with("/rotate") || operation.starts_with("PATCH") { "{}" } else { "" };
            send(operation, &nobody(operation), body).problem(404, "not_found");
            if !operation.starts_with("DELETE") {
                assert!([200, 201].contains(&send(operation, &path, body).status), "{operation}");
            }
        }
    }
    let mine = with(&tidegate, env, "default", "admin");
    for list in ["keys", "audit", "usage"] {
        described
            .send(&mine, &format!("GET /v1/{list}"), &format!("/v1/{list}?organization={slug}"), "")
            .problem(404, "not_found");
    }
    send("POST /v1/keys", "/v1/keys", r#"{"organization":"there-is-none","scopes":["read"]}"#)
        .problem(404, "not_found");
    // The ends of both.
    send("DELETE /v1/keys/{id}", &at("DELETE /v1/keys/{id}"), "").expect(200);
    send("POST /v1/keys/{id}/rotate", &at("POST /v1/keys/{id}/rotate"), "").problem(409, "key_over");
    let patch = "PATCH /v1/keys/{id}";
    send(patch, &at(patch), r#"{"expires_at":null}"#).problem(409, "key_over");
    let other = json!({ "name": format!("{slug} 2"), "slug": format!("{slug}-2") }).to_string();
    send("POST /v1/organizations", "/v1/organizations", &other).expect(201);
    let patch = "PATCH /v1/organizations/{id}";
    send(patch, &at(patch), &json!({ "name": format!("{slug} 2") }).to_string()).problem(409, "organization_exists");
    send("DELETE /v1/organizations/{id}", &at("DELETE /v1/organizations/{id}"), "").expect(200);
    send("POST /v1/keys", "/v1/keys", &key).problem(409, "organization_inactive");
    described.assert_right();
    // Elsewhere: slow bodies, the quota of keys, too much at once, the database away; lists have 404 for cursors of others.
    let missed = described.missed(&all, &[408, 422, 429, 503]);
    let missed: Vec<_> = missed
        .into_iter()
        .filter(|(operation, status)| (operation.as_str(), *status) != ("GET /v1/organizations", 404))
        .collect();
    assert_eq!(missed, []);
    Ok(())
}
