//! Attempts to sign in: how many may fail, for whom and from where, what each costs, and over which way passwords go.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::env::{Env, Test, TestResult, until};
use crate::sessions::{Browser, sign_in};
use crate::streams::node;
use crate::tests;
use crate::users::{PASSWORD, send, user};

pub const TESTS: &[Test] = tests!(
    failures_count_at_all_nodes,
    nobody_is_locked_out_by_others,
    an_address_tries_few_accounts,
    all_failures_look_and_cost_the_same,
    many_at_once_are_no_more_than_one_after_the_other,
    what_failed_is_noted_within_bounds,
    passwords_go_over_tls_or_within_the_machine,
);

const WRONG: &str = "a sentence that is wrong";

/// A program behind a proxy that says who the client is.
const BEHIND: &[&str] = &["http.tls_in_front=true"];

/// Somebody at an address signs in.
fn from(client: &Client, address: &str, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password }).to_string();
    let headers = [("x-forwarded-for", address), ("x-forwarded-proto", "https")];
    Client::new(&client.address, None).post("/v1/sessions", &headers, body)
}

fn is_told_to_wait(answer: &Answer) {
    answer.problem(429, "sign_in_attempts");
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
}

fn failures_count_at_all_nodes(env: &Env) -> TestResult {
    let nodes = [node(env, 1), node(env, 2)];
    let [one, two] = [&nodes[0].client, &nodes[1].client];
    user(one, "ann@example.org", "viewer");
    user(one, "bob@example.org", "viewer");
    for who in ["ann@example.org", "nobody@example.org"] {
        for client in [one, two, one, two, one] {
            sign_in(client, who, WRONG).problem(401, "unauthorized");
        }
        // Also with the right password: whether it is right is not looked at any more.
        for client in [one, two] {
            is_told_to_wait(&sign_in(client, who, PASSWORD));
            is_told_to_wait(&sign_in(client, &who.to_uppercase(), WRONG));
        }
    }
    sign_in(two, "bob@example.org", PASSWORD).expect(201);
    // What was refused does not count, or asking would never end it.
    let sql = env.sql();
    assert_eq!(sql.count("sign_in_attempts"), 10);
    sql.run("UPDATE sign_in_attempts SET at = at - interval '15 minutes'");
    sign_in(two, "ann@example.org", PASSWORD).expect(201);
    assert_eq!(sql.count("sign_in_attempts"), 0, "those that are over are forgotten");
    // Slips are forgiven to who has it right.
    for _ in 0..3 {
        for _ in 0..4 {
            sign_in(one, "ann@example.org", WRONG).problem(401, "unauthorized");
        }
        sign_in(two, "ann@example.org", PASSWORD).expect(201);
    }
    Ok(())
}

/// Somebody with many addresses keeps trying one account.
fn nobody_is_locked_out_by_others(env: &Env) -> TestResult {
    let tidegate = env.serve_with(BEHIND);
    let client = &tidegate.client;
    user(client, "ann@example.org", "viewer");
    user(client, "bob@example.org", "viewer");
    from(client, "2001:db8::1", "ann@example.org", PASSWORD).expect(201);
    env.sql().run(
        "INSERT INTO sign_in_attempts (account, address) \
         SELECT sha256(convert_to(email, 'UTF8')), ('10.0.0.' || n)::inet FROM users, generate_series(1, 49) n",
    );
    for who in ["ann@example.org", "bob@example.org"] {
        from(client, "192.0.2.1", who, WRONG).problem(401, "unauthorized");
        is_told_to_wait(&from(client, "192.0.2.2", who, PASSWORD));
    }
    // From where ann has signed in before she still can, of IPv6 from the whole network; bob never has, and waits.
    is_told_to_wait(&from(client, "2001:db8::2", "bob@example.org", PASSWORD));
    from(client, "2001:db8::ffff:2", "ann@example.org", PASSWORD).expect(201);
    // There her own slips count as everywhere.
    for _ in 0..5 {
        from(client, "2001:db8::3", "ann@example.org", WRONG).problem(401, "unauthorized");
    }
    is_told_to_wait(&from(client, "2001:db8::4", "ann@example.org", PASSWORD));
    Ok(())
}

fn an_address_tries_few_accounts(env: &Env) -> TestResult {
    let tidegate = env.serve_with(BEHIND);
    let client = &tidegate.client;
    user(client, "ann@example.org", "viewer");
    for n in 0..20 {
        from(client, "192.0.2.1", &format!("u{n}@example.org"), WRONG).problem(401, "unauthorized");
    }
    is_told_to_wait(&from(client, "192.0.2.1", "u20@example.org", WRONG));
    is_told_to_wait(&from(client, "192.0.2.1", "ann@example.org", PASSWORD));
    // What somebody writes in front of what the proxy says is nobody's address.
    is_told_to_wait(&from(client, "198.51.100.7, 192.0.2.1", "ann@example.org", PASSWORD));
    from(client, "192.0.2.1, 198.51.100.7", "ann@example.org", PASSWORD).expect(201);
    // However many there are, they take so many rows.
    let sql = env.sql();
    sql.run("INSERT INTO sign_in_attempts (account, address) SELECT sha256('x'), '10.0.0.1' FROM generate_series(1, 100500)");
    for n in 0..10 {
        from(client, "192.0.2.9", &format!("w{n}@example.org"), WRONG).problem(401, "unauthorized");
    }
    let rows = sql.count("sign_in_attempts");
    assert!(rows <= 100_010, "{rows}");
    Ok(())
}

/// The work is counted, not its time.
fn all_failures_look_and_cost_the_same(env: &Env) -> TestResult {
    let tidegate = env.serve_with(BEHIND);
    let client = &tidegate.client;
    user(client, "wrong@example.org", "viewer");
    let off = user(client, "off@example.org", "viewer");
    send(client, "DELETE", &format!("/v1/users/{}", off["id"].as_str().unwrap()), &Value::Null).expect(200);
    let other = tidegate.with(&env.key("other", "ingest,read,consume,admin"));
    user(&other, "org@example.org", "viewer");
    env.cli(&["orgs", "deactivate", "other", "--json"]).json();
    let hashes = || {
        let metrics = client.get("/metrics").text().to_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix("tidegate_password_hashes_total "));
        line.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    let mut answers = Vec::new();
    for (who, password) in [
        ("wrong@example.org", WRONG),
        ("nobody@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("nul\0@example.org", PASSWORD),
        ("off@example.org", PASSWORD),
        ("off@example.org", WRONG),
        ("org@example.org", PASSWORD),
    ] {
        let before = hashes();
        let answer = from(client, "192.0.2.1", who, password);
        answers.push(answer.problem(401, "unauthorized"));
        assert!(answer.header("set-cookie").is_empty());
        assert_eq!(hashes() - before, 1, "{who}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let before = hashes();
    from(client, "192.0.2.1", "wrong@example.org", PASSWORD).expect(201);
    assert_eq!(hashes() - before, 1);
    assert_eq!(env.sql().count("sessions"), 1);
    Ok(())
}

fn many_at_once_are_no_more_than_one_after_the_other(env: &Env) -> TestResult {
    let tidegate = env.serve();
    user(&tidegate.client, "ann@example.org", "viewer");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let tries = [(); 30].map(|()| scope.spawn(|| sign_in(&tidegate.client, "ann@example.org", WRONG)));
        tries.map(|tried| tried.join().unwrap()).into()
    });
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(looked_at <= 5, "{looked_at}");
    for answer in answers.iter().filter(|answer| answer.status != 401) {
        is_told_to_wait(answer);
    }
    assert_eq!(env.sql().count("sign_in_attempts"), i64::try_from(looked_at)?);
    Ok(())
}

fn what_failed_is_noted_within_bounds(env: &Env) -> TestResult {
    let tidegate = env.serve_with(BEHIND);
    let client = &tidegate.client;
    user(client, "ann@example.org", "viewer");
    for n in 0..12 {
        from(client, &format!("192.0.2.{n}"), "ann@example.org", WRONG).problem(401, "unauthorized");
        from(client, &format!("192.0.2.{n}"), "nobody@example.org", WRONG).problem(401, "unauthorized");
    }
    let sql = env.sql();
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'sessions.refuse'";
    until("ten are noted", || (sql.one::<i64>(noted) == 10).then_some(()));
    from(client, "192.0.2.200", "ann@example.org", PASSWORD).expect(201);
    assert_eq!(sql.one::<i64>(noted), 10);
    let rows: Vec<String> = sql.column(
        "SELECT actor_kind || ' ' || actor || ' ' || tenant_id || ' ' || (details->>'reason') || ' ' || host(address) \
         FROM audit_log WHERE action = 'sessions.refuse' ORDER BY address LIMIT 1",
    );
    assert_eq!(rows, ["user ann@example.org default password 192.0.2.0"]);
    assert_eq!(
        sql.one::<i64>("SELECT count(*) FROM audit_log WHERE actor LIKE 'nobody%' OR details::text LIKE '%nobody%'"),
        0
    );
    Ok(())
}

fn passwords_go_over_tls_or_within_the_machine(env: &Env) -> TestResult {
    let plain = env.serve_with(&["data_dir=plain"]);
    user(&plain.client, "ann@example.org", "viewer");
    let browser = Browser::signed_in(&plain.client, "ann@example.org");
    // A proxy of which nothing is known makes everybody look local.
    for headers in
        [[("x-forwarded-for", "192.0.2.1")], [("forwarded", "for=192.0.2.1")], [("x-forwarded-proto", "https")]]
    {
        let body = json!({ "email": "ann@example.org", "password": PASSWORD }).to_string();
        let refused = browser.client.post("/v1/sessions", &headers, body).problem(403, "tls_required");
        assert!(refused["detail"].as_str().unwrap().contains("http.tls_in_front=true"), "{refused}");
        let headers = [headers[0], ("cookie", browser.cookie.as_str())];
        browser.client.get_as("/v1/events", &headers).problem(403, "tls_required");
    }
    let behind = env.serve_with(&[BEHIND[0], "data_dir=behind"]);
    let body = json!({ "email": "ann@example.org", "password": PASSWORD }).to_string();
    let ask = |headers: &[(&str, &str)]| Client::new(&behind.client.address, None).post("/v1/sessions", headers, &body);
    ask(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")]).problem(403, "tls_required");
    ask(&[("x-forwarded-for", "192.0.2.1"), ("origin", "http://tidegate")]).problem(403, "cross_site");
    ask(&[("x-forwarded-for", "192.0.2.1"), ("origin", "https://tidegate")]).expect(201);
    let newest: String = env.sql().one("SELECT host(address) FROM sessions ORDER BY id DESC LIMIT 1");
    assert_eq!(newest, "192.0.2.1");
    Ok(())
}
