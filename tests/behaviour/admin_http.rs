//! Organizations and keys over HTTP: what an admin may do in its own organization, what it does not see of others, and what operators
//! do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Client, Key};
use crate::env::{Env, Test, TestResult, until};
use crate::process::Service;
use crate::samples::seconds_from_now;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    organizations_over_http,
    keys_over_http,
    an_admin_gives_out_no_more_than_it_has,
    another_organization_is_as_none,
    lists_of_administration,
    when_a_key_was_last_used,
);

pub fn with(tidegate: &Service, env: &Env, organization: &str, scopes: &str) -> Client {
    tidegate.with(&env.key(organization, scopes))
}

fn patch(client: &Client, path: &str, body: &Value) -> Answer {
    client.send("PATCH", path, &[], body.to_string().as_bytes()).unwrap()
}

fn delete(client: &Client, path: &str) -> Answer {
    client.send("DELETE", path, &[], b"").unwrap()
}

fn post(client: &Client, path: &str, body: &Value) -> Answer {
    client.post(path, &[], body.to_string())
}

fn organizations_over_http(env: &Env) -> TestResult {
    let tidegate = env.share();
    let operator = with(&tidegate, env, "default", "operator");
    let name = format!("{} Ä", env.organization());
    let made =
        post(&operator, "/v1/organizations", &json!({ "name": name, "slug": format!("{}-x", env.organization()) }));
    let made = made.expect(201);
    let slug = made["tenant_id"].as_str().unwrap();
    assert_eq!((made["name"].as_str(), &made["is_active"]), (Some(name.as_str()), &json!(true)));
    for taken in [json!({ "name": name }), json!({ "name": name.to_lowercase() }), json!({ "name": "n", "slug": slug })]
    {
        post(&operator, "/v1/organizations", &taken).problem(409, "organization_exists");
    }
    for wrong in [
        json!({ "name": "" }),
        json!({ "name": " " }),
        json!({ "name": "a\u{0}" }),
        json!({ "name": "x".repeat(256) }),
        json!({ "name": "x", "slug": "No Slug" }),
        json!({ "name": "x", "id": 1 }),
        json!({}),
    ] {
        post(&operator, "/v1/organizations", &wrong).problem(400, "invalid_body");
    }
    // By its slug and by its id; not by a name that is neither.
    let id = made["id"].as_str().unwrap();
    for which in [slug, id] {
        assert_eq!(operator.get(&format!("/v1/organizations/{which}")).expect(200), made);
    }
    let path = format!("/v1/organizations/{slug}");
    let key = Key::parse(
        &post(&operator, "/v1/keys", &json!({ "organization": slug, "scopes": ["read", "admin"] })).expect(201),
    );
    let admin = tidegate.with(&key);
    assert_eq!(admin.get(&path).expect(200), made);

    // An admin names its own otherwise, and no more.
    let renamed = patch(&admin, &path, &json!({ "name": format!("{name} 2") })).expect(200);
    assert_eq!(renamed["name"], format!("{name} 2"));
    for beyond in [
        json!({ "is_active": false }),
        json!({ "events_retention_days": 3 }),
        json!({ "name": "x", "is_active": true }),
    ] {
        patch(&admin, &path, &beyond).problem(403, "forbidden");
    }
    delete(&admin, &path).problem(403, "forbidden");
    post(&admin, "/v1/organizations", &json!({ "name": "mine" })).problem(403, "forbidden");
    assert_eq!(admin.get(&path).expect(200), renamed, "what was refused changed nothing");

    // Operators: retention, with null for everybody's; all of it or nothing.
    let kept =
        patch(&operator, &path, &json!({ "events_retention_days": 30, "metrics_retention_days": 5 })).expect(200);
    assert_eq!(
        [&kept["events_retention_days"], &kept["metrics_retention_days"], &kept["correlations_retention_days"]],
        [&json!(30), &json!(5), &Value::Null]
    );
    let back = patch(&operator, &path, &json!({ "events_retention_days": null })).expect(200);
    assert_eq!([&back["events_retention_days"], &back["metrics_retention_days"]], [&Value::Null, &json!(5)]);
    for wrong in [
        json!({ "events_retention_days": 0 }),
        json!({ "events_retention_days": 3000 }),
        json!({ "metrics_retention_days": 1 }),
    ] {
        patch(&operator, &path, &wrong).problem(400, "invalid_body");
        let both = json!({ "name": "half", "events_retention_days": 3000 });
        patch(&operator, &path, &both).problem(400, "invalid_body");
    }
    assert_eq!(operator.get(&path).expect(200), back);

    // Deactivated: its keys stop within 5 s, and nothing is deleted.
    assert_eq!(delete(&operator, &path).expect(200)["is_active"], false);
    assert_eq!(delete(&operator, &path).expect(200)["is_active"], false, "twice is no error");
    until("its keys stop", || (admin.get(&path).status == 401).then_some(()));
    let body = json!({ "organization": slug, "scopes": ["read"] });
    post(&operator, "/v1/keys", &body).problem(409, "organization_inactive");
    assert_eq!(patch(&operator, &path, &json!({ "is_active": true })).expect(200)["is_active"], true);
    until("they work again", || (admin.get(&path).status == 200).then_some(()));
    Ok(())
}

fn keys_over_http(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = with(&tidegate, env, "default", "read,consume,admin");
    let ends = seconds_from_now(3600);
    let asked = json!({
        "scopes": ["read"], "label": "board", "expires_at": ends, "events_per_second": 7, "bytes_per_second": 1000,
        "burst_seconds": 3
    });
    let made = post(&admin, "/v1/keys", &asked).expect(201);
    let key = Key::parse(&made);
    assert_eq!(tidegate.with(&key).get("/v1/keys/self").expect(200)["tenant_id"], env.organization());
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let shown = admin.get(&path).expect(200);
    assert_eq!(
        (&shown["label"], &shown["scopes"], &shown["events_per_second"], &shown["burst_seconds"], shown.get("key")),
        (&json!("board"), &json!(["read"]), &json!(7), &json!(3), None)
    );
    let secret = key.text.rsplit('_').next().unwrap().to_owned();
    for list in ["/v1/keys?limit=1000", "/v1/audit?limit=1000"] {
        let text = String::from_utf8(admin.get(list).bytes).unwrap();
        assert!(text.contains(made["id"].as_str().unwrap()) && !text.contains(&secret[..16]), "{list}");
    }
    for wrong in [
        json!({ "scopes": [] }),
        json!({ "scopes": ["write"] }),
        json!({ "scopes": ["read"], "expires_at": seconds_from_now(-1) }),
        json!({ "scopes": ["read"], "events_per_second": 0 }),
        json!({ "scopes": ["read"], "burst_seconds": 100_000 }),
        json!({ "scopes": ["read"], "label": "x".repeat(201) }),
        json!({ "scopes": ["read"], "label": key.text }),
        json!({ "scopes": ["read"], "secret": "mine" }),
        json!({ "label": "no scopes" }),
    ] {
        post(&admin, "/v1/keys", &wrong).problem(400, "invalid_body");
    }

    let altered =
        patch(&admin, &path, &json!({ "label": "wall", "expires_at": null, "bytes_per_second": null })).expect(200);
    assert_eq!(
        (&altered["label"], &altered["expires_at"], &altered["bytes_per_second"], &altered["events_per_second"]),
        (&json!("wall"), &Value::Null, &Value::Null, &json!(7))
    );
    patch(&admin, &path, &json!({ "scopes": ["admin"] })).problem(400, "invalid_body");
    patch(&admin, "/v1/keys/nothing", &json!({})).problem(404, "not_found");

    // A successor that can do the same; the old one ends.
    let next = post(&admin, &format!("{path}/rotate"), &json!({ "grace": "1h" })).expect(201);
    assert_eq!(
        (&next["label"], &next["scopes"], &next["events_per_second"]),
        (&json!("wall"), &json!(["read"]), &json!(7))
    );
    assert!(admin.get(&path).expect(200)["expires_at"].is_string());
    tidegate.with(&Key::parse(&next)).get("/v1/events").expect(200);
    tidegate.with(&key).get("/v1/events").expect(200);
    for wrong in ["-1h", "1000d", "soon"] {
        post(&admin, &format!("{path}/rotate"), &json!({ "grace": wrong })).problem(400, "invalid_body");
    }

    let revoked = delete(&admin, &path).expect(200);
    assert_eq!((revoked["revoked_at"].is_string(), &revoked["own"]), (true, &json!(false)));
    assert_eq!(delete(&admin, &path).expect(200)["revoked_at"], revoked["revoked_at"], "twice is no error");
    until("it is refused", || (tidegate.with(&key).get("/v1/events").status == 401).then_some(()));
    post(&admin, &format!("{path}/rotate"), &json!({})).problem(409, "key_over");
    let later = json!({ "expires_at": "2999-01-01T00:00:00Z" });
    patch(&admin, &path, &later).problem(409, "key_over");
    assert_eq!(patch(&admin, &path, &json!({ "label": "gone" })).expect(200)["label"], "gone");
    // One that expired by itself does not come back either.
    let short = post(&admin, "/v1/keys", &json!({ "scopes": ["read"] })).expect(201);
    let path = format!("/v1/keys/{}", short["id"].as_str().unwrap());
    env.sql().run(&format!(
        "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = '{}'",
        short["id"].as_str().unwrap()
    ));
    patch(&admin, &path, &later).problem(409, "key_over");
    patch(&admin, &path, &json!({ "expires_at": null })).problem(409, "key_over");
    // A label that looks like another.
    let turned = json!({ "scopes": ["read"], "label": "wall\u{202e}" });
    post(&admin, "/v1/keys", &turned).problem(400, "invalid_body");

    // The key that one has in hand.
    let own = env.key("default", "admin");
    let holder = tidegate.with(&own);
    assert_eq!(delete(&holder, &format!("/v1/keys/{}", own.id())).expect(200)["own"], true);
    until("it is refused too", || (holder.get("/v1/keys").status == 401).then_some(()));
    Ok(())
}

fn an_admin_gives_out_no_more_than_it_has(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = with(&tidegate, env, "default", "read,admin");
    for beyond in [json!(["ingest"]), json!(["read", "consume"]), json!(["operator"]), json!(["admin", "operator"])] {
        post(&admin, "/v1/keys", &json!({ "scopes": beyond })).problem(403, "forbidden");
    }
    post(&admin, "/v1/keys", &json!({ "scopes": ["read", "admin"] })).expect(201);
    // It gets hold of none by making its successor, and changes none that can do more.
    for more in ["ingest", "operator", "read,consume"] {
        let key = env.key("default", more);
        let path = format!("/v1/keys/{}", key.id());
        post(&admin, &format!("{path}/rotate"), &json!({})).problem(403, "forbidden");
        patch(&admin, &path, &json!({ "label": "mine" })).problem(403, "forbidden");
        let revoked = delete(&admin, &path);
        if more == "operator" {
            revoked.problem(403, "forbidden");
            tidegate.with(&key).get("/v1/keys?limit=1").expect(200);
        } else {
            revoked.expect(200);
        }
    }
    // Others may not at all.
    let reader = with(&tidegate, env, "default", "ingest,read,consume");
    for path in ["/v1/keys", "/v1/organizations", "/v1/audit"] {
        reader.get(path).problem(403, "forbidden");
    }
    post(&reader, "/v1/keys", &json!({ "scopes": ["read"] })).problem(403, "forbidden");
    Ok(())
}

fn another_organization_is_as_none(env: &Env) -> TestResult {
    let tidegate = env.share();
    let mine = with(&tidegate, env, "default", "ingest,read,consume,admin");
    let theirs = env.key("other", "read,admin");
    let other = tidegate.with(&theirs).get("/v1/keys/self").expect(200)["tenant_id"].as_str().unwrap().to_owned();
    let organization = tidegate.with(&theirs).get(&format!("/v1/organizations/{other}")).expect(200);
    let before = tidegate.with(&theirs).get(&format!("/v1/keys/{}", theirs.id())).expect(200);
    for which in [other.as_str(), organization["id"].as_str().unwrap(), organization["name"].as_str().unwrap()] {
        let path = format!("/v1/organizations/{which}");
        let missing = mine.get("/v1/organizations/there-is-none").problem(404, "not_found");
        assert_eq!(mine.get(&path).problem(404, "not_found"), missing);
        for body in
            [json!({ "name": "mine" }), json!({ "is_active": false }), json!({ "events_retention_days": 1 }), json!({})]
        {
            assert_eq!(patch(&mine, &path, &body).problem(404, "not_found"), missing, "{body}");
        }
        assert_eq!(delete(&mine, &path).problem(404, "not_found"), missing);
        post(&mine, "/v1/keys", &json!({ "organization": which, "scopes": ["read"] })).problem(404, "not_found");
        for list in ["keys", "audit"] {
            mine.get(&format!("/v1/{list}?organization={which}")).problem(404, "not_found");
        }
    }
    let path = format!("/v1/keys/{}", theirs.id());
    let missing = mine.get("/v1/keys/00000000-0000-0000-0000-000000000000").problem(404, "not_found");
    assert_eq!(mine.get(&path).problem(404, "not_found"), missing);
    assert_eq!(patch(&mine, &path, &json!({ "label": "x" })).problem(404, "not_found"), missing);
    assert_eq!(delete(&mine, &path).problem(404, "not_found"), missing);
    assert_eq!(post(&mine, &format!("{path}/rotate"), &json!({})).problem(404, "not_found"), missing);
    // Nor in a list, or by a cursor of theirs or of an operator's.
    let tenants = |client: &Client, path: &str| -> BTreeSet<String> {
        let page = client.get(path).expect(200);
        page["data"].as_array().unwrap().iter().map(|row| row["tenant_id"].as_str().unwrap().to_owned()).collect()
    };
    let own = BTreeSet::from([env.organization().to_owned()]);
    post(&mine, "/v1/keys", &json!({ "scopes": ["read"] })).expect(201);
    for list in ["organizations", "keys", "audit"] {
        assert_eq!(tenants(&mine, &format!("/v1/{list}?limit=10000")), own, "{list}");
    }
    let operator = with(&tidegate, env, "default", "operator");
    for list in ["organizations", "keys"] {
        for (whose, status) in [(&tidegate.with(&theirs), 404), (&operator, 400)] {
            let page = whose.get(&format!("/v1/{list}?limit=1")).expect(200);
            let Some(cursor) = page["next_cursor"].as_str() else { continue };
            assert_eq!(mine.get(&format!("/v1/{list}?cursor={cursor}")).status, status, "{list}");
        }
    }
    assert_eq!(tidegate.with(&theirs).get(&format!("/v1/keys/{}", theirs.id())).expect(200)["label"], before["label"]);
    Ok(())
}

fn lists_of_administration(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = with(&tidegate, env, "default", "read,admin");
    let mut labels: Vec<String> = (0..5).map(|n| format!("k{n}, \"x\"")).collect();
    for label in &labels {
        post(&admin, "/v1/keys", &json!({ "scopes": ["read"], "label": label })).expect(201);
    }
    labels.reverse();
    // Page by page, the newest first, and as NDJSON and CSV.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/v1/keys?limit=2{cursor}")).expect(200);
        seen.extend(page["data"].as_array().unwrap().iter().map(|key| key["label"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen[..5], labels);
    let lines = admin.get_as("/v1/keys", &[("accept", "application/x-ndjson")]).bytes;
    assert_eq!(String::from_utf8(lines).unwrap().lines().count(), seen.len());
    let csv = String::from_utf8(admin.get_as("/v1/audit?action=keys.create&limit=5", &[("accept", "text/csv")]).bytes)
        .unwrap();
    assert!(
        csv.starts_with("id,at,tenant_id,actor_kind,actor_id,actor,action,target,details,address,request_id\r\n"),
        "{csv}"
    );
    assert_eq!(csv.matches("keys.create").count(), 5, "{csv}");
    for wrong in
        ["/v1/keys?limit=0", "/v1/keys?limit=10001", "/v1/keys?nothing=1", "/v1/keys?cursor=x", "/v1/audit?from=never"]
    {
        admin.get(wrong).problem(400, "invalid_parameter");
    }
    let cursor = admin.get("/v1/audit?limit=1").expect(200)["next_cursor"].as_str().unwrap().to_owned();
    admin.get(&format!("/v1/audit?limit=1&cursor={cursor}")).expect(200);
    admin.get(&format!("/v1/audit?action=x.y&cursor={cursor}")).problem(400, "invalid_parameter");
    admin.get(&format!("/v1/keys?cursor={cursor}")).problem(400, "invalid_parameter");
    Ok(())
}

fn when_a_key_was_last_used(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let (used, unused) = (env.key("default", "read,admin"), env.key("default", "read"));
    let client = tidegate.with(&used);
    let last =
        |client: &Client, key: &Key| client.get(&format!("/v1/keys/{}", key.id())).expect(200)["last_used_at"].clone();
    client.get("/v1/events").expect(200);
    // Who knows a key's id and not its secret has not used it.
    let (head, last_digit) = unused.text.split_at(unused.text.len() - 1);
    let forged = format!("{head}{}", if last_digit == "0" { "1" } else { "0" });
    let _refused = Client::new(&client.address, Some(&forged)).get("/v1/events");
    // What was not told yet is told at the end.
    assert_eq!(tidegate.stop(), Some(0));
    let at: Option<String> =
        env.sql().one(&format!("SELECT last_used_at::text FROM tidegate.api_keys WHERE id = '{}'", used.id()));
    let at = at.expect("it was used");
    assert!(at.contains(":00+") || at.contains(":00-"), "to the minute: {at}");
    let never: Option<String> =
        env.sql().one(&format!("SELECT last_used_at::text FROM tidegate.api_keys WHERE id = '{}'", unused.id()));
    assert_eq!(never, None);
    let listed = env.cli(&["keys", "list", "--json"]).json();
    let shown = listed.as_array().unwrap().iter().find(|key| key["id"] == used.id()).unwrap();
    assert!(shown["last_used_at"].is_string(), "{shown}");
    let tidegate = env.serve();
    assert!(last(&tidegate.with(&used), &used).is_string());
    Ok(())
}
