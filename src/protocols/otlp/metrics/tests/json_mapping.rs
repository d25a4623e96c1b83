//! What JSON may write in several ways.

use super::*;

#[test]
fn bodies_are_told_apart() {
    for body in [
        r#"{"resourceMetrics":[]}"#,
        " \n{ \"resourceMetrics\" : []}",
        r#"{"resource_metrics":[{}]}"#,
        "\u{feff}{\"resourceMetrics\":[",
        r#"{"unknown":{"a":["}",{}]},"resourceMetrics":[]}"#,
        r#"{"unknown":"\"","resourceMetrics":{}}"#,
    ] {
        assert!(is_otlp_json(body.as_bytes()), "{body}");
    }
    for body in [
        "",
        " ",
        "{",
        "{}",
        "[]",
        r#"[{"resourceMetrics":[]}]"#,
        "5",
        r#""resourceMetrics""#,
        r#"{"resourceMetrics"#,
        r#"{"resourceMetrics""#,
        r#"{"a":"resourceMetrics"}"#,
        r#"{"dimensions":{"resourceMetrics":[]}}"#,
        r#"{"a":"\"resourceMetrics\":[]"}"#,
        r#"{"asset_id":"a","resourceMetrics":[]}"#,
        r#"{"resourceLogs":[]}"#,
        r#"{"asset_id":"a","metric_name":"m","value":1}"#,
        "{}\n{\"resourceMetrics\":[]}",
        r#"{"a":[1,2,}"#,
        r#"{"a" 1}"#,
    ] {
        assert!(!is_otlp_json(body.as_bytes()), "{body}");
    }
}

#[test]
fn names_numbers_and_order_are_free() {
    let strict = r#"{"resourceMetrics":[{
        "resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}}]},
        "scopeMetrics":[{"scope":{"name":"lib"},"metrics":[
            {"name":"c","unit":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
                {"attributes":[{"key":"k","value":{"intValue":"5"}}],"timeUnixNano":"1544712660300000000","asInt":"7"}
            ]}},
            {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[
                {"timeUnixNano":"1544712660300000000","count":"3","sum":4.5,"scale":-1,"zeroCount":"1",
                    "positive":{"offset":0,"bucketCounts":["2"]}}
            ]}}
        ]}]
    }]}"#;
    let loose = r#" {"extra":[{"a":"]"}],"resource_metrics":[{
        "schema_url":"x",
        "scope_metrics":[{"schemaUrl":null,"metrics":[
            {"sum":{"data_points":[{"as_int":7.0,"time_unix_nano":1544712660300000000,"flags":0,"unknown":{"x":[]},
                "asDouble":null,"exemplars":[],"attributes":[{"value":{"int_value":5,"x":1},"key":"k"}]}],
                "is_monotonic":true,"aggregation_temporality":"AGGREGATION_TEMPORALITY_CUMULATIVE"},
                "unit":"\u0073","description":null,"name":"c"},
            {"exponential_histogram":{"data_points":[
                {"positive":{"bucket_counts":[2]},"zero_count":1,"scale":-1.0,"sum":"4.5","count":3e0,
                    "time_unix_nano":"1544712660300000000","min":null}
            ],"aggregation_temporality":"1"},"name":"\u0065"}
        ],"scope":{"name":"lib","version":null}}],
        "resource":{"attributes":[{"key":"host.name","value":{"string_value":"\u0068"}}],"droppedAttributesCount":3}
    }]} "#;
    let (strict, loose) = (convert(strict.as_bytes(), from_json), convert(loose.as_bytes(), from_json));
    assert_eq!(items(&strict).len(), 2);
    assert_eq!(
        items(&strict)[0]["dimensions"],
        json!({"scope.name": "lib", "unit": "s", "temporality": "cumulative", "k": 5})
    );
    assert_eq!(items(&strict), items(&loose));
    assert_eq!(decoded(&loose).accepted(), 2);
}

#[test]
fn several_requests_may_stand_behind_each_other() {
    let one =
        serde_json::to_string(&metric("m", json!({"gauge": {"dataPoints": [{"timeUnixNano": TIME, "asInt": 1}]}})))
            .unwrap();
    let made = convert(format!("{one}\n{one}{{}}").as_bytes(), from_json);
    assert_eq!((items(&made).len(), decoded(&made).accepted()), (2, 2));
}

#[test]
fn places_are_the_points_as_they_were_sent() {
    let point = r#"{"timeUnixNano": "0", "asInt": "1"}"#;
    let body = gauge_text(&format!(" {point} "));
    let made = convert(body.as_bytes(), from_json);
    assert_eq!(made.original.of(0), point.as_bytes());
}

#[test]
fn text_that_cannot_be_stored_costs_its_item() {
    for (bad, code) in [("\"\\ud800\"", "lone_surrogate"), ("\"\\u0000\"", "metadata_nul"), ("\"\u{1}\"", "")] {
        let point = format!(
            r#"{{"timeUnixNano":{TIME},"asInt":1,"attributes":[{{"key":"k","value":{{"stringValue":{bad}}}}}]}}"#
        );
        let body = gauge_text(&point);
        let made = convert(body.as_bytes(), from_json);
        assert_eq!(made.original.places.len(), 1);
        let code = if code.is_empty() { "not_an_object" } else { code };
        assert_eq!(decoded(&made).rejected[0].rejection.code.as_str(), code, "{bad}");
    }
}
