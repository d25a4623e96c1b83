//! How sessions of people end: at once at every node, by time, and by their number.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult, until};
use crate::samples::event_with;
use crate::server_sent::Feed;
use crate::sessions::Browser;
use crate::streams::{follow, node, reaches};
use crate::tests;
use crate::users::{PASSWORD, send, user};

pub const TESTS: &[Test] =
    tests!(a_session_ends_everywhere_at_once, who_waits_with_a_session_is_let_go, sessions_end_by_time_and_by_number,);

fn a_session_ends_everywhere_at_once(env: &Env) -> TestResult {
    let nodes = [node(env, 1), node(env, 2)];
    let [one, two] = [&nodes[0].client, &nodes[1].client];
    let made = user(one, "ann@example.org", "admin");
    let path = format!("/v1/users/{}", made["id"].as_str().unwrap());
    let at_both = |cookie: &str| [one, two].map(|client| Browser::with(client, cookie).get("/v1/events").status);
    let begin = || Browser::signed_in(one, "ann@example.org").cookie;
    for end in ["revoke", "out", "password", "email", "deactivate", "organization"] {
        let cookie = begin();
        assert_eq!(at_both(&cookie), [200, 200], "{end}");
        let session = Browser::with(two, &cookie);
        match end {
            "revoke" => {
                let id = session.id();
                assert_eq!(send(two, "DELETE", &format!("/v1/sessions/{id}"), &Value::Null).status, 204);
            }
            "out" => assert_eq!(session.send("DELETE", "/v1/sessions/self", &Value::Null).status, 204),
            "password" => {
                send(two, "PATCH", &path, &json!({ "password": "another long sentence" })).expect(200);
            }
            "email" => {
                send(two, "PATCH", &path, &json!({ "email": "ann.new@example.org" })).expect(200);
            }
            "deactivate" => {
                send(two, "DELETE", &path, &Value::Null).expect(200);
            }
            _ => {
                env.cli(&["orgs", "deactivate", "default", "--json"]).json();
            }
        }
        assert_eq!(at_both(&cookie), [401, 401], "{end}");
        if end == "organization" {
            env.cli(&["orgs", "activate", "default", "--json"]).json();
            // It was the organization's and not the session's fault.
            assert_eq!(at_both(&cookie), [200, 200]);
            continue;
        }
        until("the key is good", || (one.get("/v1/users").status == 200).then_some(()));
        let restored = json!({ "password": PASSWORD, "email": "ann@example.org", "is_active": true });
        send(one, "PATCH", &path, &restored).expect(200);
        assert_eq!(at_both(&cookie), [401, 401], "{end}: it does not come back");
    }
    Ok(())
}

fn who_waits_with_a_session_is_let_go(env: &Env) -> TestResult {
    let nodes = [node(env, 1), node(env, 2)];
    let [one, two] = [&nodes[0].client, &nodes[1].client];
    user(one, "ann@example.org", "viewer");
    one.events(event_with(0, r#""stream":"s""#)).accepted(1, 0);
    reaches(one, "s", 1);
    let browser = Browser::signed_in(two, "ann@example.org");
    let ticket = browser.send("POST", "/v1/streams/s/tickets", &Value::Null).expect(200);
    let ticket = ticket["ticket"].as_str().unwrap();
    let headers = format!("cookie: {}\r\n", browser.cookie);
    let mut feeds = [
        Feed::open(one, "/v1/streams/s/events?offset=latest", &headers),
        Feed::open(one, &format!("/v1/streams/s/events?offset=latest&ticket={ticket}"), ""),
    ];
    for feed in &feeds {
        assert!(feed.head.starts_with("HTTP/1.1 200"), "{}", feed.head);
    }
    follow(one, 2);
    let id = browser.id();
    assert_eq!(send(two, "DELETE", &format!("/v1/sessions/{id}"), &Value::Null).status, 204);
    for feed in &mut feeds {
        while feed.next().is_some() {}
    }
    let again = Feed::open(one, &format!("/v1/streams/s/events?ticket={ticket}"), "");
    assert!(again.head.starts_with("HTTP/1.1 401"), "{}", again.head);
    Ok(())
}

fn sessions_end_by_time_and_by_number(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    user(client, "ann@example.org", "viewer");
    let sql = env.sql();
    let browser = Browser::signed_in(client, "ann@example.org");
    let id = browser.id();
    let set = |what: &str| sql.run(&format!("UPDATE sessions SET {what} WHERE id = '{id}'"));
    set("last_used_at = now() - interval '119 minutes'");
    browser.get("/v1/events").expect(200);
    until("its use is noted", || {
        let noted: bool = sql.one("SELECT last_used_at > now() - interval '1 minute' FROM sessions");
        noted.then_some(())
    });
    // Not again within the minute.
    let noted: String = sql.one("SELECT last_used_at::text FROM sessions");
    browser.get("/v1/events").expect(200);
    browser.get("/v1/events").expect(200);
    assert_eq!(sql.one::<String>("SELECT last_used_at::text FROM sessions"), noted);
    set("last_used_at = now() - interval '121 minutes'");
    browser.get("/v1/events").problem(401, "unauthorized");
    set("last_used_at = now(), expires_at = now()");
    browser.get("/v1/events").problem(401, "unauthorized");
    let life: f64 = {
        Browser::signed_in(client, "ann@example.org");
        sql.one("SELECT max(extract(epoch FROM expires_at - created_at))::double precision FROM sessions")
    };
    assert!((life - 43_200.0).abs() < 1.0, "{life}");
    // Of one user so many are good at once, and the oldest goes first.
    let oldest = Browser::signed_in(client, "ann@example.org");
    let all: Vec<Browser> = (0..19).map(|_| Browser::signed_in(client, "ann@example.org")).collect();
    oldest.get("/v1/events").expect(200);
    let newest = Browser::signed_in(client, "ann@example.org");
    oldest.get("/v1/events").problem(401, "unauthorized");
    for good in all.iter().chain([&newest]) {
        good.get("/v1/events").expect(200);
    }
    sql.run(
        "INSERT INTO sessions (id, user_id, token_hash, created_at, expires_at, address) \
         SELECT gen_random_uuid(), u.id, sha256('x'), now() - interval '1 day', now(), '::1' FROM users u, generate_series(1, 200)",
    );
    Browser::signed_in(client, "ann@example.org");
    assert_eq!(sql.count("sessions"), 100);
    Ok(())
}
