//! People of organizations: over HTTP and on the command line, each organization's for itself.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult, until};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    users_over_http,
    users_of_another_organization_are_not_there,
    what_is_no_user_is_refused,
    nobody_gives_out_more_than_it_has,
    users_on_the_command_line,
    control_tables_show_a_tenant_its_own,
);

/// insufficient_privilege
const DENIED: &str = "42501";

/// A password that is taken.
pub const PASSWORD: &str = "a sentence that is long";

/// An address of the test's own.
pub fn email(env: &Env, name: &str) -> String {
    format!("{name}.{}@example.org", env.organization())
}

pub fn send(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(method, path, &[], body.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// A user of the client's organization.
pub fn user(client: &Client, email: &str, role: &str) -> Value {
    send(client, "POST", "/v1/users", &json!({ "email": email, "role": role, "password": PASSWORD })).expect(201)
}

fn users_over_http(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let address = email(env, "Ann");
    let made = user(client, &address, "viewer");
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["email"], address.to_lowercase());
    assert_eq!((&made["tenant_id"], &made["role"]), (&json!(env.organization()), &json!("viewer")));
    assert_eq!((&made["is_active"], &made["last_login_at"]), (&json!(true), &Value::Null));
    assert!(made.get("password_hash").is_none() && made.get("password").is_none(), "{made}");
    let again = json!({ "email": address.to_uppercase(), "role": "admin", "password": PASSWORD });
    send(client, "POST", "/v1/users", &again).problem(409, "user_exists");
    assert_eq!(client.get(&format!("/v1/users/{id}")).expect(200), made);
    let other = user(client, &email(env, "bob"), "admin");
    let listed = client.get("/v1/users").expect(200);
    assert_eq!(listed, json!({ "data": [other, made], "next_cursor": null }));
    let first = client.get("/v1/users?limit=1").expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v1/users?cursor={cursor}")).expect(200)["data"], json!([made]));
    client.get("/v1/users?cursor=x").problem(400, "invalid_parameter");
    let lines = client.get_as("/v1/users", &[("accept", "application/x-ndjson")]);
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), listed["data"]);
    let csv = client.get_as("/v1/users", &[("accept", "text/csv")]);
    let head = "id,tenant_id,email,role,is_active,created_at,password_changed_at,last_login_at,deactivated_at\r\n";
    assert!(csv.text().starts_with(head) && csv.text().lines().count() == 3, "{}", csv.text());
    let path = format!("/v1/users/{id}");
    assert_eq!(send(client, "PATCH", &path, &json!({ "role": "admin" })).expect(200)["role"], "admin");
    let gone = send(client, "DELETE", &path, &Value::Null).expect(200);
    assert!(gone["is_active"] == false && gone["deactivated_at"].is_string(), "{gone}");
    let twice = send(client, "DELETE", &path, &Value::Null).expect(200);
    assert_eq!(twice["deactivated_at"], gone["deactivated_at"], "deactivating twice is no error");
    let back = send(client, "PATCH", &path, &json!({ "is_active": true })).expect(200);
    assert!(back["is_active"] == true && back["deactivated_at"].is_null(), "{back}");
    let renamed = email(env, "ann.new");
    assert_eq!(send(client, "PATCH", &path, &json!({ "email": renamed })).expect(200)["email"], renamed);
    let taken = json!({ "email": other["email"] });
    send(client, "PATCH", &path, &taken).problem(409, "user_exists");
    let noted: Vec<String> = env.sql().column(&format!(
        "SELECT action || coalesce(' ' || (details->>'role'), '') FROM audit_log WHERE target = '{id}' ORDER BY id"
    ));
    let acts = [
        "users.create viewer",
        "users.alter admin",
        "users.deactivate",
        "users.deactivate",
        "users.activate",
        "users.alter",
    ];
    assert_eq!(noted, acts);
    let from: String = env.sql().one(&format!(
        "SELECT DISTINCT actor_kind || ' ' || host(address) FROM audit_log WHERE target = '{id}' AND request_id <> ''"
    ));
    assert_eq!(from, "key 127.0.0.1");
    Ok(())
}

fn users_of_another_organization_are_not_there(env: &Env) -> TestResult {
    let tidegate = env.share();
    let address = email(env, "ann");
    let id = user(&tidegate.client, &address, "viewer")["id"].as_str().unwrap().to_owned();
    let other = tidegate.with(&env.key("other", "ingest,read,consume,admin"));
    let path = format!("/v1/users/{id}");
    let missing = "/v1/users/0192f0c1-0000-7000-8000-000000000000";
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({ "role": "admin" })), ("DELETE", Value::Null)] {
        let [theirs, nobodys] =
            [&path, missing].map(|path| send(&other, method, path, &body).problem(404, "not_found"));
        assert_eq!(theirs, nobodys, "{method}");
    }
    send(&other, "GET", "/v1/users/x", &Value::Null).problem(404, "not_found");
    assert_eq!(other.get("/v1/users").expect(200)["data"], json!([]));
    let own = env.organization();
    other.get(&format!("/v1/users?organization={own}")).problem(404, "not_found");
    let mine = json!({ "email": email(env, "eve"), "role": "viewer", "password": PASSWORD, "organization": own });
    send(&other, "POST", "/v1/users", &mine).problem(404, "not_found");
    // An operator's are all.
    let operator = tidegate.with(&env.key("other", "operator"));
    assert_eq!(operator.get(&path).expect(200)["email"], address);
    assert_eq!(send(&operator, "POST", "/v1/users", &mine).expect(201)["tenant_id"], own);
    for none in ["nobody's", "a\0b"] {
        let body = json!({ "email": email(env, "joe"), "role": "viewer", "password": PASSWORD, "organization": none });
        send(&operator, "POST", "/v1/users", &body).problem(404, "not_found");
    }
    assert_eq!(operator.get("/v1/users?organization=nobody's").expect(200)["data"], json!([]));
    operator.get("/v1/users?organization=a%00b").problem(400, "invalid_parameter");
    assert_eq!(operator.get(&format!("/v1/users?organization={own}")).expect(200)["data"].as_array().unwrap().len(), 2);
    Ok(())
}

fn what_is_no_user_is_refused(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let address = email(env, "ann");
    let with = |name: &str, value: Value| {
        let mut body = json!({ "email": address, "role": "viewer", "password": PASSWORD });
        body[name] = value;
        send(client, "POST", "/v1/users", &body)
    };
    for (name, value, words) in [
        ("password", json!("hunter2"), "12 to 1024 characters"),
        ("password", json!("x".repeat(1025)), "12 to 1024 characters"),
        ("password", json!(address.to_uppercase()), "e-mail"),
        ("password", json!("Password1234"), "first that anybody would try"),
        ("email", json!("ann"), "e-mail address"),
        ("email", json!("a b@example.org"), "e-mail address"),
        ("email", json!(format!("{}@example.org", "a".repeat(250))), "at most 254"),
        ("role", json!("owner"), "`admin` or `viewer`"),
        // What is sent is not repeated: it may be a password.
        ("password", json!(123_456_789), "`email`, `role` and `password`"),
        ("pasword", json!("a secret sentence"), "`email`, `role` and `password`"),
    ] {
        let refused = with(name, value).problem(400, "invalid_body");
        assert!(refused["detail"].as_str().unwrap().contains(words), "{refused}");
        for secret in ["hunter2", "123456789", "a secret sentence", "Password1234", "pasword"] {
            assert!(!refused.to_string().contains(secret), "{refused}");
        }
    }
    client.post("/v1/users", &[], r#"{"password": "a secret sen"#).problem(400, "body_not_json");
    assert_eq!(client.get("/v1/users").expect(200)["data"], json!([]));
    // Nor by those who may not.
    for scopes in ["read", "ingest", "consume"] {
        let other = tidegate.with(&env.key("default", scopes));
        other.get("/v1/users").problem(403, "forbidden");
        other.get("/v1/sessions").problem(403, "forbidden");
    }
    tidegate.anonymous().get("/v1/users").problem(401, "unauthorized");
    Ok(())
}

fn nobody_gives_out_more_than_it_has(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = user(&tidegate.client, &email(env, "ann"), "admin");
    let viewer = user(&tidegate.client, &email(env, "bob"), "viewer");
    let narrow = tidegate.with(&env.key("default", "admin,read"));
    let [admin, viewer] = [admin, viewer].map(|user| format!("/v1/users/{}", user["id"].as_str().unwrap()));
    let wanted = json!({ "email": email(env, "eve"), "role": "admin", "password": PASSWORD });
    for (method, path, body) in [
        ("POST", "/v1/users", wanted),
        ("PATCH", viewer.as_str(), json!({ "role": "admin" })),
        ("PATCH", admin.as_str(), json!({ "password": "another long sentence" })),
    ] {
        let refused = send(&narrow, method, path, &body).problem(403, "forbidden");
        assert!(refused["detail"].as_str().unwrap().contains("`consume`"), "{refused}");
    }
    send(&narrow, "PATCH", &viewer, &json!({ "password": "another long sentence" })).expect(200);
    Ok(())
}

fn users_on_the_command_line(env: &Env) -> TestResult {
    let tidegate = env.share();
    let (own, address) = (env.organization(), email(env, "ann"));
    let made = env.cli(&["users", "create", &address, "--org", own, "--role", "admin", "--json"]).json();
    let password = made["password"].as_str().unwrap();
    assert!(password.len() >= 30 && made["email"] == address.to_lowercase(), "{made}");
    let signed_in = || {
        let body = json!({ "email": address, "password": password }).to_string();
        tidegate.anonymous().post("/v1/sessions", &[], body)
    };
    signed_in().expect(201);
    let listed = env.cli(&["users", "list", "--org", own, "--json"]).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["email"]), (1, &made["email"]));
    assert!(listed[0]["last_login_at"].is_string());
    let table = env.cli(&["users", "list", "--org", own]);
    assert!(table.stdout.contains(&address.to_lowercase()) && table.stdout.contains("active"), "{table:?}");
    let sessions = env.cli(&["sessions", "list", "--org", own, "--json"]).json();
    assert_eq!((sessions.as_array().unwrap().len(), &sessions[0]["is_active"]), (1, &json!(true)));
    let session = sessions[0]["id"].as_str().unwrap();
    env.cli(&["sessions", "revoke", session, "--json"]).json();
    assert_eq!(env.cli(&["sessions", "revoke", session]).code, Some(0), "revoking twice is no error");
    let after = env.cli(&["sessions", "list", "--user", &address, "--json"]).json();
    assert_eq!((&after[0]["is_active"], after[0]["revoked_at"].is_string()), (&json!(false), true));
    assert_eq!(env.cli(&["users", "role", &address, "viewer", "--json"]).json()["role"], "viewer");
    assert_eq!(env.cli(&["users", "deactivate", &address, "--json"]).json()["is_active"], false);
    assert_eq!(env.cli(&["users", "activate", &address, "--json"]).json()["is_active"], true);
    let renewed = env.cli(&["users", "password", &address, "--json"]).json();
    assert!(renewed["password"].is_string() && renewed["password"] != made["password"], "{renewed}");
    for (arguments, words) in [
        (vec!["users", "create", &address, "--org", own, "--role", "viewer"], "already"),
        (vec!["users", "create", "b@example.org", "--org", "nobody's", "--role", "viewer"], "no organization"),
        (vec!["users", "role", "nobody@example.org", "admin"], "no such user"),
        (vec!["users", "create", "c@example.org", "--org", own, "--role", "viewer", "--password-stdin"], "12 to 1024"),
        (vec!["sessions", "revoke", "0192f0c1-0000-7000-8000-000000000000"], "no such session"),
    ] {
        let failed = env.cli(&arguments);
        assert!(failed.code == Some(1) && failed.stderr.contains(words), "{failed:?}");
    }
    let usage = env.cli(&["users", "create", "no address", "--org", own, "--role", "viewer"]);
    assert!(usage.code == Some(2) && usage.stderr.contains("e-mail address"), "{usage:?}");
    let acts: Vec<String> = env
        .sql()
        .column("SELECT action FROM audit_log WHERE actor_kind = 'command' AND action NOT LIKE 'keys.%' ORDER BY id");
    let expected = [
        "users.create",
        "sessions.revoke",
        "sessions.revoke",
        "users.alter",
        "users.deactivate",
        "users.activate",
        "users.set_password",
    ];
    assert_eq!(
        acts.iter().filter(|act| act.starts_with("users.") || act.starts_with("sessions.")).collect::<Vec<_>>(),
        expected
    );
    Ok(())
}

/// By SQL, in a transaction that names a tenant: whatever a statement forgets to ask.
fn control_tables_show_a_tenant_its_own(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let other = tidegate.with(&env.key("other", "ingest,read,consume,admin"));
    for (client, address) in [(&tidegate.client, "ann@example.org"), (&other, "bob@example.org")] {
        user(client, address, "viewer");
        let body = json!({ "email": address, "password": PASSWORD }).to_string();
        tidegate.anonymous().post("/v1/sessions", &[], body).expect(201);
    }
    let sql = env.sql();
    assert_eq!((sql.count("users"), sql.count("sessions")), (2, 2));
    sql.run("BEGIN; SET LOCAL tidegate.tenant = 'other'");
    assert_eq!(sql.column::<String>("SELECT email FROM users"), ["bob@example.org"]);
    assert_eq!((sql.count("sessions"), sql.count("organizations"), sql.count("api_keys")), (1, 1, 1));
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM audit_log WHERE tenant_id IS DISTINCT FROM 'other'"), 0);
    sql.run("UPDATE users SET role = 'admin'; UPDATE sessions SET revoked_at = now(); COMMIT");
    assert_eq!(sql.column::<String>("SELECT email FROM users WHERE role = 'admin'"), ["bob@example.org"]);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM sessions WHERE revoked_at IS NULL"), 1);
    sql.run("BEGIN; SET LOCAL tidegate.tenant = 'nobody'");
    assert_eq!((sql.count("users"), sql.count("sessions"), sql.count("audit_log")), (0, 0, 0));
    let added = sql.try_run(
        "INSERT INTO users (org_id, email, password_hash, role) VALUES (gen_random_uuid(), 'eve@example.org', '$argon2id$', 'admin')",
    );
    assert_eq!(added, Err(DENIED.to_owned()), "row-level security");
    sql.run("ROLLBACK");
    // The ingest path and readers see none of it.
    for role in ["tidegate_writer", "tidegate_reader"] {
        for table in ["users", "sessions", "sign_in_attempts", "audit_log"] {
            let seen = env.sql_as(role).try_run(&format!("SELECT FROM {table}"));
            assert_eq!(seen, Err(DENIED.to_owned()), "{role} {table}");
        }
    }
    // Nobody is left behind by what was tried.
    until("the program answers", || (tidegate.client.get("/v1/users").status == 200).then_some(()));
    Ok(())
}
