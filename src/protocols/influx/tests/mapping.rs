//! What becomes of lines.

use super::*;

#[test]
fn a_field_is_a_sample() {
    let body = "# Telegraf\r\ncpu,host=h12,region=eu,cpu=cpu0 \
        usage_user=1.5,usage_system=2i,up=true 1700000000000000000\r\n\n  \
        temperature value=21 1700000001000000000";
    let made = converted(V2, "org=acme&bucket=b", body).unwrap();
    let cpu = |name: &str, value: Value| {
        json!({"asset_id": "h12", "metric_name": name, "metric_type": "untyped",
            "dimensions": {"region": "eu", "cpu": "cpu0", "bucket": "b"},
            "timestamp": 1_700_000_000_000_000_000_i64, "value": value})
    };
    let expected = [
        cpu("cpu.usage_user", json!(1.5)),
        cpu("cpu.usage_system", json!(2)),
        cpu("cpu.up", json!(1)),
        json!({"asset_id": "unknown", "metric_name": "temperature", "metric_type": "untyped",
            "dimensions": {"bucket": "b"}, "timestamp": 1_700_000_001_000_000_000_i64, "value": 21}),
    ];
    assert_eq!(items(&made), expected);
    assert_eq!((made.original.places.len(), made.dedupe, made.notes.len()), (4, true, 0));
    assert!(made.original.of(0).starts_with(b"cpu,host") && made.original.of(0).ends_with(b"0000"));
    assert_eq!(made.original.of(2), made.original.of(0));
    assert_eq!(made.original.of(3), b"temperature value=21 1700000001000000000");
    let decoded = decoded(&made);
    assert_eq!((decoded.accepted(), decoded.rejected.len()), (4, 0));
    let row = &Row::all(COPY_COLUMNS, &decoded)[1];
    assert_eq!(
        (row.text("asset_id"), row.text("metric_name"), row.text("metric_type")),
        ("h12", "cpu.usage_system", "untyped")
    );
    assert_eq!(
        (row.double("value_sum"), row.json("dimensions")),
        (Some(2.0), r#"{"region":"eu","cpu":"cpu0","bucket":"b"}"#)
    );
}

#[test]
fn names_assets_and_dimensions() {
    let of = |query: &str, line: &str| {
        let item = good(V1, query, line).remove(0);
        let text = |name: &str| item[name].as_str().unwrap().to_owned();
        (text("asset_id"), text("metric_name"), item["dimensions"].clone())
    };
    let case = |asset: &str, name: &str, dimensions: Value| (asset.to_owned(), name.to_owned(), dimensions);
    for (query, line, expected) in [
        ("", "m value=1 1", case("unknown", "m", Value::Null)),
        ("", "m a=1 1", case("unknown", "m.a", Value::Null)),
        ("", "m,host=a,instance=b a=1 1", case("a", "m.a", json!({"instance": "b"}))),
        ("", "m,instance=b,hostname=c a=1 1", case("c", "m.a", json!({"instance": "b"}))),
        ("", "m,asset_id=d,instance=b a=1 1", case("b", "m.a", json!({"asset_id": "d"}))),
        ("", "m,asset_id=d a=1 1", case("d", "m.a", Value::Null)),
        // No two series become one where names have dots.
        ("", "a.b value=1 1", case("unknown", "a.b", json!({"field": "value"}))),
        ("", "a b=1 1", case("unknown", "a.b", Value::Null)),
        ("", "a.b c=1 1", case("unknown", "a.b.c", Value::Null)),
        ("", "a b.c=1 1", case("unknown", "a.b.c", json!({"field": "b.c"}))),
        ("", "a,field=x b.c=1 1", case("unknown", "a.b.c", json!({"field": "x", "influx.field": "b.c"}))),
        // The database is a dimension, unless a tag says so already.
        ("db=d&rp=r", "m,k=v a=1 1", case("unknown", "m.a", json!({"k": "v", "db": "d"}))),
        ("db=d", "m,db=d a=1 1", case("unknown", "m.a", json!({"db": "d"}))),
        ("db=d", "m,db=e a=1 1", case("unknown", "m.a", json!({"db": "e", "influx.db": "d"}))),
        (
            "db=d",
            "m,db=e,influx.db=f a=1 1",
            case("unknown", "m.a", json!({"db": "e", "influx.db": "f", "influx.influx.db": "d"})),
        ),
        ("db=a%20%22b", "m a=1 1", case("unknown", "m.a", json!({"db": "a \"b"}))),
        ("bucket=b", "m a=1 1", case("unknown", "m.a", Value::Null)),
    ] {
        assert_eq!(of(query, line), expected, "{query} {line}");
    }
    let long = "x".repeat(150);
    let (asset, name, dimensions) = of("", &format!("{long},host=h{long},metric_name=t a=1 1"));
    assert_eq!((asset.len(), name.len()), (100, 100));
    assert_eq!(
        dimensions,
        json!({"metric_name": "t", "influx.metric_name": format!("{long}.a"), "asset_id": format!("h{long}")})
    );
    let made = converted(V1, "", format!("{long} a=1,b=2 1700000000\nm,host={long} a=1")).unwrap();
    assert_eq!(made.notes["shortened"], 3);
}

#[test]
fn text_is_a_dimension() {
    let made =
        converted(V1, "", "m,k=v state=\"a \\\"b\\\"\",n=1 1700000000000000000\nm,value=t s=\"\"\nm s=\"x\"").unwrap();
    let found = items(&made);
    assert_eq!(
        found[0],
        json!({"asset_id": "unknown", "metric_name": "m.state", "metric_type": "text",
            "dimensions": {"k": "v", "value": "a \"b\""}, "timestamp": 1_700_000_000_000_000_000_i64, "value": 1})
    );
    assert_eq!((&found[1]["dimensions"], &found[1]["metric_type"]), (&json!({"k": "v"}), &json!("untyped")));
    assert_eq!(found[2]["dimensions"], json!({"value": "t", "influx.value": ""}));
    assert_eq!(found[3]["dimensions"], json!({"value": "x"}));
    assert_eq!(made.notes["text_fields"], 3);
    assert_eq!((decoded(&made).accepted(), made.dedupe), (4, false));
}

#[test]
fn timestamps_are_in_the_precision_that_is_asked_for() {
    for (route, query, timestamp, expected) in [
        (V1, "", "1700000000123456789", json!(1_700_000_000_123_456_789_i64)),
        (V1, "precision=n", "1700000000123456789", json!(1_700_000_000_123_456_789_i64)),
        (V1, "precision=%C2%B5", "1700000000123456", json!(1_700_000_000_123_456_000_i64)),
        (V1, "precision=u", "1700000000123456", json!(1_700_000_000_123_456_000_i64)),
        (V1, "precision=ms", "1700000000123", json!(1_700_000_000_123_000_000_i64)),
        (V1, "precision=m", "28333333", json!(1_699_999_980_000_000_000_i64)),
        (V1, "precision=h", "472222", json!(1_699_999_200_000_000_000_i64)),
        (V2, "precision=s", "1700000000", json!(1_700_000_000_000_000_000_i64)),
        (V2, "precision=us", "-1", json!("1969-12-31T23:59:59.999999Z")),
        (V3, "", "1700000000", json!(1_700_000_000_000_000_000_i64)),
        (V3, "precision=auto", "1700000000123", json!(1_700_000_000_123_000_000_i64)),
        (V3, "precision=second", "1700000000", json!(1_700_000_000_000_000_000_i64)),
        (V3, "precision=nanosecond", "1700000000123456789", json!(1_700_000_000_123_456_789_i64)),
    ] {
        assert_eq!(good(route, query, &format!("m a=1 {timestamp}"))[0]["timestamp"], expected, "{query} {timestamp}");
    }
    for (route, precision) in [(V1, "minute"), (V1, "NS"), (V2, "n"), (V2, "m"), (V2, "auto"), (V3, "h"), (V3, "µs")] {
        let query = format!("precision={precision}");
        let problem = with_head(route, &query, &[], |head| Influx.reading(head).map(|_| ()).unwrap_err());
        assert_eq!((problem.status(), problem.detail().contains("one of")), (StatusCode::BAD_REQUEST, true), "{query}");
    }
    let made = converted(V1, "precision=h", "m a=1 9999999999\nm a=1").unwrap();
    assert!(made.original.broken[0].message.contains("ends in 2262"), "{:?}", made.original.broken);
    assert_eq!((items(&made)[1].get("timestamp"), made.dedupe), (None, false));
}

#[test]
fn a_broken_line_is_one_broken_item_among_good_ones() {
    let body = "m a=1 1700000000000000000\nm a=1,b=x,c=2\r\nm a=2 1700000000000000000\n\
        log v=nan,t=\"\nm a=9 1700000000000000000\n\"\nm a=3,s=\"";
    let made = converted(V1, "", body).unwrap();
    let found = items(&made);
    assert_eq!(found.len(), 5);
    assert_eq!((&found[1], &found[3], &found[4]), (&json!(0), &json!(0), &json!(0)));
    let broken: Vec<(u32, &str)> =
        made.original.broken.iter().map(|broken| (broken.item, broken.message.as_str())).collect();
    assert_eq!(
        broken[0],
        (
            1,
            "line 2, column 9: a value is a finite number (1.5), an integer (2i or 2u), true or false, or text in \
             double quotes"
        )
    );
    assert!(
        broken[1].1.starts_with("line 4, column 7: ")
            && broken[2].1.starts_with("line 7, column 9: the text that begins here has no end")
    );
    assert_eq!(made.original.of(1), b"m a=1,b=x,c=2");
    assert_eq!(made.original.of(3), b"log v=nan,t=\"\nm a=9 1700000000000000000\n\"");
    assert_eq!(made.original.of(4), b"m a=3,s=\"");
    // Of a text without an end only its line is broken.
    let made = converted(V1, "", "m s=\"x\nm a=1\nm b=\nm c=1").unwrap();
    assert_eq!((made.original.places.len(), made.original.broken.len(), made.original.of(0)), (4, 2, &b"m s=\"x"[..]));
    // Two lines are one where the first ends with a backslash in a name.
    let made = converted(V1, "", "m\\\nn a=1,a=2").unwrap();
    assert_eq!((items(&made)[0]["metric_name"].as_str(), made.notes["repeated_fields"]), (Some("m\\\nn.a"), 1));
}
