//! Sessions of people: their cookie, what it opens, and from which pages. How they end is in `sessions_end.rs`.

use serde_json::{Value, json};
use tidegate::tenancy::SessionToken;

use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult, until};
use crate::samples::event;
use crate::tests;
use crate::users::{PASSWORD, email, send, user};

pub const TESTS: &[Test] = tests!(
    signing_in_and_out,
    what_a_viewer_and_an_admin_may_do,
    pages_of_other_sites_ask_in_vain,
    odd_cookies,
    sessions_of_others,
    a_person_changes_its_own_password,
    passwords_and_tokens_are_kept_nowhere,
);

/// Somebody in a browser: no key, a cookie, and the page's own origin.
pub struct Browser {
    pub client: Client,
    pub cookie: String,
}

/// What is answered to who signs in.
pub fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password }).to_string();
    Client::new(&client.address, None).post("/v1/sessions", &[], body)
}

impl Browser {
    pub fn signed_in(client: &Client, email: &str) -> Self {
        Self::signed_in_with(client, email, PASSWORD)
    }

    pub fn signed_in_with(client: &Client, email: &str, password: &str) -> Self {
        let answer = sign_in(client, email, password);
        answer.expect(201);
        Self::with(client, answer.header("set-cookie").split(';').next().unwrap())
    }

    pub fn with(client: &Client, cookie: &str) -> Self {
        Self { client: Client::new(&client.address, None), cookie: cookie.to_owned() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.client.get_as(path, &[("cookie", &self.cookie)])
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("cookie", self.cookie.as_str()), ("origin", "http://tidegate")];
        self.client.send(method, path, &headers, body.as_bytes()).unwrap()
    }

    /// The id of the session.
    pub fn id(&self) -> String {
        self.get("/v1/sessions/self").expect(200)["id"].as_str().unwrap().to_owned()
    }
}

fn signing_in_and_out(env: &Env) -> TestResult {
    let tidegate = env.share();
    let address = email(env, "ann");
    let made = user(&tidegate.client, &address, "viewer");
    let answer = sign_in(&tidegate.client, &format!(" {} ", address.to_uppercase()), PASSWORD);
    let session = answer.expect(201);
    assert_eq!(session["user"], json!({ "id": made["id"], "email": made["email"] }));
    assert_eq!(
        (&session["organization"], &session["role"], &session["scopes"]),
        (&json!(env.organization()), &json!("viewer"), &json!(["read"]))
    );
    let cookie = answer.header("set-cookie").to_owned();
    let (token, attributes) = cookie.split_once("; ").unwrap();
    assert!(token.starts_with("tidegate_session=tgs_"), "{cookie}");
    assert_eq!(attributes, "HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=43200");
    assert!(!answer.text().contains(&token[50..]), "the token is in the cookie alone");
    let browser = Browser::with(&tidegate.client, token);
    assert_eq!(browser.get("/v1/sessions/self").expect(200), session);
    browser.get("/v1/events").expect(200);
    assert!(
        tidegate.client.get(&format!("/v1/users/{}", made["id"].as_str().unwrap())).expect(200)["last_login_at"]
            .is_string()
    );
    // A key tells of itself elsewhere.
    tidegate.client.get("/v1/sessions/self").problem(404, "not_found");
    let out = browser.send("DELETE", "/v1/sessions/self", &Value::Null);
    assert_eq!(out.status, 204);
    assert_eq!(out.header("set-cookie"), "tidegate_session=; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=0");
    browser.get("/v1/events").problem(401, "unauthorized");
    browser.send("DELETE", "/v1/sessions/self", &Value::Null).problem(401, "unauthorized");
    let acts: Vec<String> = env.sql().column(
        "SELECT action || ' ' || actor FROM audit_log WHERE actor_kind = 'user' AND address = '127.0.0.1' ORDER BY id",
    );
    let address = address.to_lowercase();
    assert_eq!(acts, [format!("sessions.create {address}"), format!("sessions.end {address}")]);
    Ok(())
}

fn what_a_viewer_and_an_admin_may_do(env: &Env) -> TestResult {
    let tidegate = env.share();
    let [viewer, admin] = ["viewer", "admin"].map(|role| {
        let made = user(&tidegate.client, &email(env, role), role);
        (Browser::signed_in(&tidegate.client, &email(env, role)), made["id"].as_str().unwrap().to_owned())
    });
    for (browser, _) in [&viewer, &admin] {
        for path in ["/v1/events", "/v1/streams", "/v1/metrics/catalog", "/v1/dead-letters", "/v1/sessions"] {
            browser.get(path).expect(200);
        }
        // Items are sent by programs.
        for path in ["/v1/events", "/v1/metrics"] {
            browser.send("POST", path, &json!([])).problem(403, "forbidden");
        }
    }
    let stream = json!({ "name": "s", "schema": { "type": "object" } });
    let refused = viewer.0.send("POST", "/v1/streams", &stream).problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("a viewer has `read`"), "{refused}");
    for (method, path) in
        [("GET", "/v1/users"), ("POST", "/v1/users"), ("POST", "/v1/streams/s/groups"), ("GET", "/v1/lifecycle")]
    {
        viewer.0.send(method, path, &Value::Null).problem(403, "forbidden");
    }
    admin.0.send("POST", "/v1/streams", &stream).expect(201);
    // Where a key is noted, the user's id is.
    let versions = viewer.0.get("/v1/streams/s/schemas").expect(200);
    assert_eq!(versions["data"][0]["api_key_id"], admin.1);
    admin.0.get("/v1/users").expect(200);
    admin.0.send("POST", "/v1/streams/s/groups", &json!({ "name": "g" })).expect(201);
    admin.0.get("/v1/streams/s/groups/g/events").expect(200);
    let by_user: String = env.sql().one(&format!(
        "SELECT DISTINCT actor_kind || ' ' || actor FROM audit_log WHERE actor_id = '{}' AND action = 'sessions.create'",
        admin.1
    ));
    assert_eq!(by_user, format!("user {}", email(env, "admin")));
    // Where both are sent the key counts, good or not.
    let both = [("cookie", admin.0.cookie.as_str()), ("authorization", "Bearer tg_nonsense")];
    admin.0.client.get_as("/v1/events", &both).problem(401, "unauthorized");
    let key = format!("Bearer {}", tidegate.client.key());
    let both = [("cookie", admin.0.cookie.as_str()), ("authorization", key.as_str())];
    admin.0.client.post("/v1/events", &both, event(0)).accepted(1, 0);
    // Another role counts with the next request.
    let path = format!("/v1/users/{}", viewer.1);
    admin.0.send("PATCH", &path, &json!({ "role": "admin" })).expect(200);
    viewer.0.get("/v1/users").expect(200);
    Ok(())
}

fn pages_of_other_sites_ask_in_vain(env: &Env) -> TestResult {
    let tidegate = env.share();
    let address = email(env, "ann");
    user(&tidegate.client, &address, "admin");
    let browser = Browser::signed_in(&tidegate.client, &address);
    let ask = |method: &str, headers: &[(&str, &str)]| {
        let headers = [&[("cookie", browser.cookie.as_str())], headers].concat();
        browser.client.send(method, "/v1/streams/s/tickets", &headers, b"").unwrap()
    };
    for headers in [
        &[][..],
        &[("origin", "http://evil.example")],
        &[("origin", "http://tidegate.evil")],
        &[("origin", "http://tidegate:81")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://tidegate")],
    ] {
        ask("POST", headers).problem(403, "cross_site");
    }
    for headers in
        [&[("origin", "http://tidegate")][..], &[("sec-fetch-site", "same-origin")], &[("sec-fetch-site", "none")]]
    {
        ask("POST", headers).problem(404, "not_found");
    }
    // A read may have effects too: another port of the host is the same site to a browser.
    let read = |headers: &[(&str, &str)]| {
        browser.client.get_as("/v1/events", &[&[("cookie", browser.cookie.as_str())], headers].concat())
    };
    read(&[]).expect(200);
    read(&[("sec-fetch-site", "same-site")]).problem(403, "cross_site");
    read(&[("sec-fetch-site", "cross-site")]).problem(403, "cross_site");
    read(&[("origin", "http://localhost:3000")]).problem(403, "cross_site");
    // Nor does another site sign anybody in.
    let body = json!({ "email": address, "password": PASSWORD }).to_string();
    for headers in [[("origin", "http://evil.example")], [("sec-fetch-site", "cross-site")]] {
        browser.client.post("/v1/sessions", &headers, &body).problem(403, "cross_site");
    }
    // A program with a key is from nowhere.
    let key = format!("Bearer {}", tidegate.client.key());
    let headers = [("authorization", key.as_str()), ("origin", "http://evil.example")];
    browser.client.get_as("/v1/events", &headers).expect(200);
    Ok(())
}

fn odd_cookies(env: &Env) -> TestResult {
    let tidegate = env.share();
    let address = email(env, "ann");
    user(&tidegate.client, &address, "viewer");
    let browser = Browser::signed_in(&tidegate.client, &address);
    let own = &browser.cookie;
    let token = own.strip_prefix("tidegate_session=").unwrap();
    let unknown = SessionToken::generate().unwrap().reveal();
    // With the id of a session that is there, and a secret of another.
    let forged = format!("{}{}", &token[..37], &unknown[37..]);
    let get = |cookie: &str| browser.client.get_as("/v1/events", &[("cookie", cookie)]);
    for good in [format!("a=b; {own}"), format!("{own};{own}"), format!("{own}; b=\"c\""), format!("x{own}x; {own}")] {
        get(&good).expect(200);
    }
    for bad in [
        format!("{own}; tidegate_session={unknown}"),
        format!("tidegate_session={unknown}"),
        format!("tidegate_session={forged}"),
        format!("tidegate_session=\"{token}\""),
        format!("tidegate_session={}", token.to_uppercase()),
        format!("tidegate_session={}", "x".repeat(4000)),
        format!("tidegate_session={}", tidegate.client.key()),
        format!("tidegate_session=; Tidegate_Session={token}"),
        "tidegate_session=".to_owned(),
    ] {
        get(&bad).problem(401, "unauthorized");
    }
    // A token is no key.
    browser.client.get_as("/v1/events", &[("x-api-key", token)]).problem(401, "unauthorized");
    // Open pages are open, whatever a browser sends along.
    for path in ["/healthz", "/metrics", "/"] {
        assert_eq!(browser.client.get_as(path, &[("cookie", "tidegate_session=x")]).status, 200, "{path}");
    }
    Ok(())
}

fn sessions_of_others(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| email(env, name));
    user(client, &ann, "viewer");
    user(client, &bob, "admin");
    let other = tidegate.with(&env.key("other", "ingest,read,consume,admin"));
    user(&other, &eve, "admin");
    let [ann, bob, eve] = [ann, bob, eve].map(|address| Browser::signed_in(client, &address));
    let listed = |browser: &Browser| {
        let listed = browser.get("/v1/sessions").expect(200);
        let ids = listed["data"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let ids = [&ann, &bob, &eve].map(Browser::id);
    assert_eq!(listed(&ann), [ids[0].clone()]);
    assert_eq!(listed(&bob), [ids[1].clone(), ids[0].clone()], "an admin's are the organization's, newest first");
    assert_eq!(listed(&eve), [ids[2].clone()]);
    let shown = &bob.get("/v1/sessions?limit=1").expect(200)["data"][0];
    assert!(
        shown["address"] == "127.0.0.1" && shown["is_active"] == true && shown.get("token_hash").is_none(),
        "{shown}"
    );
    let end = |browser: &Browser, id: &str| browser.send("DELETE", &format!("/v1/sessions/{id}"), &Value::Null);
    let nobodys = end(&ann, "0192f0c1-0000-7000-8000-000000000000").problem(404, "not_found");
    assert_eq!(end(&ann, &ids[1]).problem(404, "not_found"), nobodys, "another user's");
    assert_eq!(end(&eve, &ids[1]).problem(404, "not_found"), nobodys, "another organization's");
    bob.get("/v1/events").expect(200);
    assert_eq!(end(&bob, &ids[0]).status, 204);
    ann.get("/v1/events").problem(401, "unauthorized");
    Ok(())
}

fn passwords_and_tokens_are_kept_nowhere(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["log.level=trace"]);
    let client = &tidegate.client;
    let made = env.cli(&["users", "create", "ann@example.org", "--org", "default", "--role", "admin", "--json"]).json();
    let generated = made["password"].as_str().unwrap();
    let chosen = "a chosen secret sentence";
    let wrong = "a wrong secret sentence";
    let id = made["id"].as_str().unwrap();
    send(client, "PATCH", &format!("/v1/users/{id}"), &json!({ "password": chosen })).expect(200);
    sign_in(client, "ann@example.org", wrong).problem(401, "unauthorized");
    sign_in(client, wrong, wrong).problem(401, "unauthorized");
    let answer = sign_in(client, "ann@example.org", chosen);
    answer.expect(201);
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    let browser = Browser::with(client, cookie);
    let token = cookie.strip_prefix("tidegate_session=").unwrap();
    for headers in [[("x-request-id", token)], [("user-agent", token)], [("referer", token)]] {
        let body = json!({ "email": "ann@example.org", "password": chosen }).to_string();
        browser.client.post("/v1/sessions", &headers, body).expect(201);
    }
    browser.get(&format!("/v1/events?token={token}")).problem(400, "invalid_parameter");
    browser.get(&format!("/v1/users/{token}")).problem(404, "not_found");
    browser.send("PATCH", &format!("/v1/users/{id}"), &json!({ "email": token })).problem(400, "invalid_body");
    browser.send("POST", "/v1/streams", &json!({ "name": "s", "description": token })).problem(400, "invalid_body");
    let sql = env.sql();
    until("the failure is noted", || {
        let noted: i64 = sql.one("SELECT count(*) FROM audit_log WHERE action = 'sessions.refuse'");
        (noted == 1).then_some(())
    });
    let mut places =
        vec![("the log".to_owned(), tidegate.log()), ("/metrics".into(), client.get("/metrics").text().into())];
    for table in ["users", "sessions", "sign_in_attempts", "audit_log", "api_keys", "event_streams"] {
        places.push((table.into(), sql.column::<String>(&format!("SELECT t::text FROM {table} t")).join("\n")));
    }
    assert!(places[0].1.contains("TRACE") || places[0].1.contains("DEBUG"), "the log says little");
    for secret in [generated, chosen, wrong, &token[37..101]] {
        for (place, text) in &places {
            assert!(!text.contains(secret), "a secret is in {place}");
        }
    }
    for table in ["users", "sessions"] {
        assert!(!sql.column::<String>(&format!("SELECT t::text FROM {table} t")).is_empty());
    }
    Ok(())
}

fn a_person_changes_its_own_password(env: &Env) -> TestResult {
    let tidegate = env.share();
    let address = email(env, "ann");
    let made = user(&tidegate.client, &address, "viewer");
    let [browser, elsewhere] = [(), ()].map(|()| Browser::signed_in(&tidegate.client, &address));
    let path = "/v1/users/self/password";
    let change = |present: &str, chosen: &str| {
        browser.send("POST", path, &json!({ "current_password": present, "password": chosen }))
    };
    let chosen = "another sentence that is long";
    change("a sentence that is wrong", chosen).problem(403, "forbidden");
    change(PASSWORD, "short").problem(400, "invalid_body");
    change(PASSWORD, &address).problem(400, "invalid_body");
    browser.send("POST", path, &json!({ "password": chosen })).problem(400, "invalid_body");
    let body = json!({ "current_password": PASSWORD, "password": chosen }).to_string();
    tidegate.client.post(path, &[], body).problem(404, "not_found");
    sign_in(&tidegate.client, &address, PASSWORD).expect(201);
    let answer = change(PASSWORD, chosen);
    assert_eq!(answer.expect(200)["id"], made["id"]);
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{}", answer.header("set-cookie"));
    assert_eq!([&browser, &elsewhere].map(|ended| ended.get("/v1/events").status), [401, 401]);
    sign_in(&tidegate.client, &address, PASSWORD).problem(401, "unauthorized");
    sign_in(&tidegate.client, &address, chosen).expect(201);
    let noted: Vec<String> = env.sql().column(&format!(
        "SELECT actor_kind || ' ' || actor FROM audit_log WHERE target = '{}' AND action = 'users.set_password'",
        made["id"].as_str().unwrap()
    ));
    assert_eq!(noted, [format!("user {}", address.to_lowercase())]);
    // Guesses are bounded as those of signing in are: no other password gets through.
    let browser = Browser::signed_in_with(&tidegate.client, &address, chosen);
    let guess = |n: usize| {
        let body = json!({ "current_password": format!("a wrong sentence {n}"), "password": PASSWORD });
        browser.send("POST", path, &body).status
    };
    assert_eq!((0..6).map(guess).collect::<Vec<_>>(), [403, 403, 403, 403, 403, 429]);
    Ok(())
}
