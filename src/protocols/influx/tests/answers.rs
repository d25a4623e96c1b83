//! Keys, parameters, answers, refusals and probes.

use super::*;

#[test]
fn keys_are_found_where_clients_put_them() {
    let key = |route, query: &str, headers: &[(&'static str, &str)]| {
        with_head(route, query, headers, |head| Influx.credential(head).map(Cow::into_owned).ok())
    };
    for (route, query, headers) in [
        (V2, "", [("authorization", "Token tg_a")]),
        (V1, "", [("authorization", "Token user:tg_a")]),
        (V3, "", [("authorization", "Bearer tg_a")]),
        (V1, "", [("authorization", "Basic dXNlcjp0Z19h")]),
        (V2, "", [("x-api-key", "tg_a")]),
        (V1, "u=user&p=tg_a", [("user-agent", "x")]),
        (V1, "p=t%67_a", [("authorization", "Token tg_b")]),
        (V2, "p=tg_b", [("authorization", "Token tg_a")]),
    ] {
        assert_eq!(key(route, query, &headers).as_deref(), Some("tg_a"), "{query} {headers:?}");
    }
    assert_eq!(key(V2, "p=tg_a", &[]), None);
    assert_eq!(key(V1, "u=tg_a", &[]), None);
}

#[test]
fn what_is_asked_is_known_before_the_body() {
    let reading = |route, query| with_head(route, query, &[], |head| Influx.reading(head));
    let plain = reading(V3, "db=x").unwrap();
    assert!((plain.dedupe_body, plain.ack_spooled) == (true, false) && plain.form == BodyForm::Converted);
    assert!(reading(V3, "db=x&no_sync=true").unwrap().ack_spooled);
    assert!(reading(V2, "ack=spooled").unwrap().ack_spooled);
    assert!(!reading(V2, "no_sync=true&accept_partial=x").unwrap().ack_spooled);
    assert!(!reading(V1, "dedupe=off&consistency=any").unwrap().dedupe_body);
    assert!(reading(V3, "accept_partial=no").is_err() && reading(V3, "no_sync=1").is_err());
}

const GOOD: &str = "m a=1 1700000000000000000";

#[test]
fn all_good_is_204() {
    for route in [V1, V2, V3] {
        for body in [GOOD, "", "\n# nothing\n", "m a=\"text\",b=1"] {
            let (status, headers, body) = answered(route, "", body);
            assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
            assert_eq!(headers["x-influxdb-version"], "1.8.10-tidegate");
        }
    }
}

#[test]
fn a_partial_write_says_which_lines_were_dropped() {
    let body = format!("{GOOD}\nm a=x\n{GOOD}\nold a=1,b=2,c=3 1\nm b=");
    let (status, headers, told) = answered(V1, "", &body);
    let message = told["error"].as_str().unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.starts_with("partial write: line 2, column 5: ") && message.ends_with(" dropped=3"), "{message}");
    assert!(message.contains("\nline 4: timestamp") && message.contains("\nline 5, column 5: "), "{message}");
    assert!(headers["x-influxdb-error"].to_str().unwrap().starts_with("partial write: line 2"));
    let (status, headers, told) = answered(V2, "", &body);
    assert_eq!((status, &told["code"], &told["line"]), (StatusCode::BAD_REQUEST, &json!("invalid"), &json!(2)));
    assert_eq!((told["message"].as_str(), headers.get("x-influxdb-error")), (Some(message), None));
    let (status, _, told) = answered(V3, "precision=ns", &body);
    assert_eq!((status, &told["error"]), (StatusCode::BAD_REQUEST, &json!("partial write of line protocol occurred")));
    let lines = told["data"].as_array().unwrap();
    let numbers: Vec<_> = lines.iter().map(|line| line["line_number"].as_u64().unwrap()).collect();
    assert_eq!((numbers, &lines[0]["original_line"]), (vec![2, 4, 5], &json!("m a=x")));
    assert!(lines[2]["error_message"].as_str().unwrap().starts_with("line 5, column 5: "));
    let (_, _, told) = answered(V1, "", "m a=x\nm");
    assert!(told["error"].as_str().unwrap().starts_with("nothing was written: line 1, column 5"));
    let (_, _, told) = answered(V3, "", &"x\n".repeat(300));
    assert_eq!(told["data"].as_array().unwrap().len(), 100);
}

#[test]
fn nothing_is_taken_beside_a_broken_line_if_so_asked() {
    let problem = converted(V3, "accept_partial=false", format!("{GOOD}\nm a=x\n{GOOD}")).unwrap_err();
    let (status, _, body) = told(with_head(V3, "", &[], |head| Influx.refusal(head, &problem)));
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("line protocol parsing error")));
    assert_eq!((&body["data"]["line_number"], &body["data"]["original_line"]), (&json!(2), &json!("m a=x")));
    assert!(body["data"]["error_message"].as_str().unwrap().starts_with("line 2, column 5: "));
    assert_eq!(items(&converted(V3, "accept_partial=false", GOOD).unwrap()).len(), 1);
    assert_eq!(items(&converted(V2, "accept_partial=false", "m a=x").unwrap()).len(), 1);
}

#[test]
fn refusals_are_in_the_words_of_each_version() {
    let refused = |route, problem: &Problem| told(with_head(route, "", &[], |head| Influx.refusal(head, problem)));
    let unauthorized = Problem::unauthorized("send an API key");
    let (status, headers, body) = refused(V1, &unauthorized);
    assert_eq!((status, body), (StatusCode::UNAUTHORIZED, json!({"error": "send an API key"})));
    assert!(headers.contains_key("www-authenticate") && !headers.contains_key("x-influxdb-error"));
    assert_eq!(refused(V2, &unauthorized).2, json!({"code": "unauthorized", "message": "send an API key"}));
    assert_eq!(refused(V3, &unauthorized).2, json!({"error": "send an API key"}));
    let large = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, "too\nlarge ü");
    assert_eq!(refused(V2, &large).2["code"], "request too large");
    assert_eq!(refused(V1, &large).1["x-influxdb-error"], "too large ??");
    let limited = Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::RateLimited, "slow").retry_after(7);
    for route in [V1, V2, V3] {
        let (status, headers, _) = refused(route, &limited);
        assert_eq!((status, &headers[RETRY_AFTER]), (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(7)));
        let in_flight = Problem::new(StatusCode::CONFLICT, ProblemCode::IdempotencyKeyInFlight, "wait");
        let (status, headers, _) = refused(route, &in_flight);
        assert_eq!((status, &headers[RETRY_AFTER]), (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1)));
    }
}

#[test]
fn probes_answer() {
    for probe in Influx.probes() {
        let (status, headers, body) = told((probe.answer)(None));
        assert_eq!(headers["x-influxdb-version"], "1.8.10-tidegate");
        match probe.path {
            "/ping" => assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null)),
            "/health" => assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("pass"))),
            _ => {
                assert_eq!((status, body), (StatusCode::OK, json!({"results": []})));
                let asked = |query: &str| told((probe.answer)(Some(query)));
                let (status, _, body) = asked("db=&q=CREATE+DATABASE+%22trial%22");
                assert_eq!((status, body), (StatusCode::OK, json!({"results": [{"statement_id": 0}]})));
                assert_eq!(asked("q=SELECT%201").0, StatusCode::BAD_REQUEST);
                assert_eq!(asked("q=%C3%BC").0, StatusCode::BAD_REQUEST);
            }
        }
    }
}
