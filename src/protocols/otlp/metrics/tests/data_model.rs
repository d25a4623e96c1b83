//! The data model of OpenTelemetry's metrics, kind by kind: what each becomes, and what is noted of it.

use super::*;

/// `examples/metrics.json` of opentelemetry-proto.
#[test]
fn the_specification_s_example() {
    let point = |name: &str, more: Value| {
        let mut point =
            json!({"startTimeUnixNano": TIME, "timeUnixNano": TIME, "attributes": [text(name, "some value")]});
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([point])
    };
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [text("service.name", "my.service")]},
        "scopeMetrics": [{
            "scope": {"name": "my.library", "version": "1.0.0",
                "attributes": [text("my.scope.attribute", "some scope attribute")]},
            "metrics": [
                {"name": "my.counter", "unit": "1", "description": "I am a Counter",
                    "sum": {"aggregationTemporality": 1, "isMonotonic": true,
                        "dataPoints": point("my.counter.attr", json!({"asDouble": 5}))}},
                {"name": "my.gauge", "unit": "1", "description": "I am a Gauge",
                    "gauge": {"dataPoints": point("my.gauge.attr", json!({"asDouble": 10}))}},
                {"name": "my.histogram", "unit": "1", "description": "I am a Histogram",
                    "histogram": {"aggregationTemporality": 1, "dataPoints": point("my.histogram.attr",
                        json!({"count": "2", "sum": 2, "bucketCounts": ["1", "1"], "explicitBounds": [1], "min": 0,
                            "max": 2}))}},
                {"name": "my.exponential.histogram", "unit": "1", "description": "I am an Exponential Histogram",
                    "exponentialHistogram": {"aggregationTemporality": 1,
                        "dataPoints": point("my.exponential.histogram.attr", json!({"count": "3", "sum": 10, "scale": 0,
                            "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["0", "2"]}, "min": 0, "max": 5,
                            "zeroThreshold": 0}))}},
            ],
        }],
    }]});
    let item = |metric_type: &str, name: &str, attribute: &str, own: Value, more: Value| {
        let mut dimensions = json!({"scope.name": "my.library", "scope.version": "1.0.0",
            "scope.my.scope.attribute": "some scope attribute", "unit": "1"});
        dimensions[attribute] = json!("some value");
        dimensions.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let mut item = json!({"asset_id": "my.service", "metric_type": metric_type, "metric_name": name,
            "timestamp": TIME_NS, "dimensions": dimensions});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    let delta = || json!({"temporality": "delta"});
    for made in converted(&request) {
        let mut found = items(&made);
        let mut stddev = |at: usize| found[at].as_object_mut().unwrap().remove("stddev").unwrap().as_f64().unwrap();
        // Two values evenly in [0, 1] and [1, 2], and the deviation of a sample.
        let (explicit, exponential) = (stddev(2), stddev(3));
        assert!((explicit - (2.0 * (0.25 + 1.0 / 12.0_f64)).sqrt()).abs() < 1e-9, "{explicit}");
        // A zero, and two values in (4, 5].
        assert!((exponential - 2.6141).abs() < 1e-4, "{exponential}");
        assert_eq!(
            found,
            [
                item(
                    "delta",
                    "my.counter",
                    "my.counter.attr",
                    json!({"temporality": "delta", "monotonic": true}),
                    json!({"value": 5.0})
                ),
                item("gauge", "my.gauge", "my.gauge.attr", json!({}), json!({"value": 10.0})),
                item(
                    "histogram",
                    "my.histogram",
                    "my.histogram.attr",
                    delta(),
                    json!({"count": 2, "sum": 2.0, "min": 0.0,
                "max": 2.0, "explicit_bounds": [1.0], "bucket_counts": [1, 1]})
                ),
                item(
                    "histogram",
                    "my.exponential.histogram",
                    "my.exponential.histogram.attr",
                    delta(),
                    json!({"count": 3, "sum": 10.0, "min": 0.0, "max": 5.0, "scale": 0, "zero_count": 1,
                    "positive": {"offset": 1, "bucket_counts": [0, 2]}})
                ),
            ]
        );
        assert_eq!((decoded(&made).accepted(), made.notes.len()), (4, 0));
    }
}

#[test]
fn kinds_of_sums() {
    for (temporality, monotonic, metric_type, dimensions) in [
        (2, true, "counter", json!({"temporality": "cumulative"})),
        (2, false, "gauge", json!({"temporality": "cumulative", "monotonic": false})),
        (1, true, "delta", json!({"temporality": "delta", "monotonic": true})),
        (1, false, "delta", json!({"temporality": "delta", "monotonic": false})),
        (0, true, "untyped", json!({"monotonic": true})),
        (7, false, "untyped", json!({"monotonic": false})),
    ] {
        let sum = json!({"sum": {"aggregationTemporality": temporality, "isMonotonic": monotonic,
            "dataPoints": point(json!({"asInt": "3"}))}});
        let notes: &[(&str, u64)] = if metric_type == "untyped" { &[("unspecified_temporality", 1)] } else { &[] };
        assert_items(&metric("m", sum), json!([item(metric_type, "m", dimensions, json!({"value": 3.0}))]), notes);
    }
}

#[test]
fn numbers_are_doubles() {
    for (value, expected) in [
        (json!({"asDouble": 1.25}), json!(1.25)),
        (json!({"asDouble": 0}), json!(0.0)),
        (json!({"asDouble": -1e-7}), json!(-1e-7)),
        (json!({"asInt": "9007199254740991"}), json!(9_007_199_254_740_991.0)),
        (json!({"asInt": "9007199254740993"}), json!(9_007_199_254_740_992.0)),
        (json!({"asInt": "-9223372036854775808"}), json!(-9_223_372_036_854_775_808.0)),
        (json!({"asInt": 0}), json!(0.0)),
        (json!({"asInt": null, "asDouble": 3}), json!(3.0)),
    ] {
        let request = metric("m", json!({"gauge": {"dataPoints": point(value)}}));
        assert_items(&request, json!([item("gauge", "m", json!({}), json!({"value": expected}))]), &[]);
    }
    for (value, note) in [
        (json!({"asDouble": "NaN"}), "not_a_number"),
        (json!({"asDouble": "Infinity"}), "infinite"),
        (json!({"asDouble": "-Infinity"}), "infinite"),
        (json!({}), "no_value"),
        (json!({"asDouble": 1, "flags": 1}), "stale_marker"),
        (json!({"flags": 3}), "stale_marker"),
    ] {
        assert_items(&metric("m", json!({"gauge": {"dataPoints": point(value)}})), json!([]), &[(note, 1)]);
    }
    for flags in [0, 2] {
        let request = metric("m", json!({"gauge": {"dataPoints": point(json!({"asInt": 1, "flags": flags}))}}));
        assert_items(&request, json!([item("gauge", "m", json!({}), json!({"value": 1.0}))]), &[]);
    }
}

#[test]
fn what_a_point_must_have() {
    let gauge = |name: &str, point: Value| metric(name, json!({"gauge": {"dataPoints": [point]}}));
    assert_broken(&gauge("", json!({"timeUnixNano": TIME, "asInt": 1})), "has no name");
    assert_broken(&gauge("m", json!({"asInt": 1})), "no time");
    assert_broken(&gauge("m", json!({"asInt": 1, "timeUnixNano": "0"})), "no time");
    let many: Vec<Value> = (0..1001).map(|n| text(&format!("k{n}"), "v")).collect();
    assert_broken(&gauge("m", json!({"timeUnixNano": TIME, "asInt": 1, "attributes": many})), "1,000 attributes");
    // Later than any time that is stored: the decoder says so.
    for made in converted(&gauge("m", json!({"asInt": 1, "timeUnixNano": "18446744073709551615"}))) {
        assert_eq!(decoded(&made).rejected[0].rejection.code.as_str(), "out_of_window");
    }
    assert_items(&request(json!([{"name": "m"}, {"name": "n", "gauge": {}}])), json!([]), &[("empty_metric", 1)]);
    let points = point(json!({"asInt": 1, "exemplars": [{}, {}]}));
    let metadata = json!({"metadata": [text("k", "v")], "gauge": {"dataPoints": points}});
    let expected = json!([item("gauge", "m", json!({}), json!({"value": 1.0}))]);
    assert_items(&metric("m", metadata), expected, &[("metric_metadata", 1), ("exemplars", 2)]);
}

#[test]
fn where_it_was_measured() {
    for (attributes, asset, dimensions) in [
        (json!([]), "unknown", json!({})),
        (
            json!([text("service.name", "s"), text("service.instance.id", "i"), text("host.name", "h")]),
            "h",
            json!({"resource.service.name": "s", "resource.service.instance.id": "i"}),
        ),
        (
            json!([text("service.name", "s"), text("service.instance.id", "i"), text("host.name", "")]),
            "i",
            json!({"resource.service.name": "s", "resource.host.name": ""}),
        ),
        (
            json!([text("service.name", "s"), attribute("host.name", json!({"intValue": "7"}))]),
            "s",
            json!({"resource.host.name": 7}),
        ),
        (
            json!([text("os.type", "linux"), attribute("service.name", json!({}))]),
            "unknown",
            json!({"resource.os.type": "linux", "resource.service.name": null}),
        ),
    ] {
        let gauge = json!([{"name": "m", "gauge": {"dataPoints": point(json!({"asInt": 1}))}}]);
        let mut request = request(gauge);
        request["resourceMetrics"][0]["resource"] = json!({"attributes": attributes});
        let mut expected = item("gauge", "m", dimensions, json!({"value": 1.0}));
        expected["asset_id"] = json!(asset);
        assert_items(&request, json!([expected]), &[]);
    }
}

#[test]
fn attributes_of_every_type() {
    for (value, expected) in [
        (json!({"stringValue": "a\"b\\\n\u{1}é😀"}), json!("a\"b\\\n\u{1}é😀")),
        (json!({"stringValue": ""}), json!("")),
        (json!({"boolValue": false}), json!(false)),
        (json!({"intValue": "-9223372036854775808"}), json!(i64::MIN)),
        (json!({"intValue": 5}), json!(5)),
        (json!({"doubleValue": 5}), json!(5.0)),
        (json!({"doubleValue": "NaN"}), json!("NaN")),
        (json!({"doubleValue": "-Infinity"}), json!("-Infinity")),
        (json!({"bytesValue": "AAH/"}), json!("AAH/")),
        (json!({"arrayValue": {"values": [{"intValue": "1"}, {}, {"arrayValue": {}}]}}), json!([1, null, []])),
        (
            json!({"kvlistValue": {"values": [{"key": "b", "value": {"stringValue": "c"}}, {"key": "n"}]}}),
            json!({"b": "c", "n": null}),
        ),
        (json!({"kvlistValue": {}}), json!({})),
        (json!({}), json!(null)),
    ] {
        let gauge = json!({"gauge": {"dataPoints": point(json!({"asInt": 1, "attributes": [attribute("k", value)]}))}});
        assert_items(
            &metric("m", gauge),
            json!([item("gauge", "m", json!({"k": expected}), json!({"value": 1.0}))]),
            &[],
        );
    }
}

#[test]
fn no_two_dimensions_have_one_name() {
    let names = [
        "unit",
        "temporality",
        "monotonic",
        "quantile",
        "asset_id",
        "metric_name",
        "resource.a",
        "scope.name",
        "attribute.unit",
        "extra",
    ];
    let attributes: Vec<Value> = names.iter().map(|name| text(name, "x")).collect();
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [text("a", "first"), text("a", "last")]},
        "scopeMetrics": [{
            "scope": {"name": "lib",
                "attributes": [text("name", "n"), text("version", "v"), text("attribute.name", "a")]},
            "metrics": [{"name": "m", "unit": "s", "sum": {"aggregationTemporality": 1,
                "dataPoints": point(json!({"asInt": 1, "attributes": attributes}))}}],
        }],
    }]});
    let dimensions = json!({"resource.a": "last", "scope.name": "lib", "scope.attribute.name": "n",
        "scope.attribute.version": "v", "scope.attribute.attribute.name": "a", "unit": "s", "temporality": "delta",
        "monotonic": false, "attribute.unit": "x", "attribute.temporality": "x", "attribute.monotonic": "x",
        "quantile": "x", "asset_id": "x", "metric_name": "x", "attribute.resource.a": "x", "attribute.scope.name": "x",
        "attribute.attribute.unit": "x", "extra": "x"});
    let expected = json!([item("delta", "m", dimensions, json!({"value": 1.0}))]);
    assert_items(&request, expected, &[("repeated_attributes", 1)]);

    let long = "n".repeat(101);
    let gauge = json!({"gauge": {"dataPoints": point(json!({"asInt": 1, "attributes": [text("metric_name", "x")]}))}});
    for made in converted(&metric(&long, gauge)) {
        let item = &items(&made)[0];
        assert_eq!(item["dimensions"], json!({"metric_name": long, "attribute.metric_name": "x"}));
        assert_eq!((decoded(&made).accepted(), made.notes["shortened"]), (1, 1));
    }
}

#[test]
fn points_of_a_metric_are_series_of_their_own() {
    let points = json!([{"timeUnixNano": TIME, "asInt": 1, "attributes": [text("k", "a")]},
        {"timeUnixNano": TIME, "asInt": 2},
        {"timeUnixNano": TIME, "asInt": 3, "attributes": [text("k", "b")]}]);
    let request = json!({"resourceMetrics": [{"scopeMetrics": [
        {"scope": {"name": "one"}, "metrics": [{"name": "m", "gauge": {"dataPoints": points}}]},
        {"metrics": [{"name": "n", "unit": "s", "gauge": {"dataPoints": point(json!({"asInt": 4}))}}]},
    ]}, {"resource": {"attributes": [text("host.name", "h")]}, "scopeMetrics": [
        {"metrics": [{"name": "n", "gauge": {"dataPoints": point(json!({"asInt": 5}))}}]},
    ]}]});
    let mut last = item("gauge", "n", json!({}), json!({"value": 5.0}));
    last["asset_id"] = json!("h");
    assert_items(
        &request,
        json!([
            item("gauge", "m", json!({"scope.name": "one", "k": "a"}), json!({"value": 1.0})),
            item("gauge", "m", json!({"scope.name": "one"}), json!({"value": 2.0})),
            item("gauge", "m", json!({"scope.name": "one", "k": "b"}), json!({"value": 3.0})),
            item("gauge", "n", json!({"unit": "s"}), json!({"value": 4.0})),
            last,
        ]),
        &[],
    );
}

#[test]
fn summaries_are_counters_and_quantiles() {
    let summary = json!({"unit": "s", "summary": {"dataPoints": [{"timeUnixNano": TIME, "count": "7", "sum": 2.5,
        "attributes": [text("k", "v"), text("quantile", "mine")],
        "quantileValues": [{"quantile": 0.5, "value": 0.25}, {"quantile": 1, "value": "NaN"},
            {"quantile": 0.99, "value": 1}]}]}});
    let dimensions = |more: Value| {
        let mut dimensions = json!({"k": "v", "attribute.quantile": "mine"});
        dimensions.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        dimensions
    };
    let request = metric("m", summary);
    assert_items(
        &request,
        json!([
            item("counter", "m_count", dimensions(json!({})), json!({"value": 7.0})),
            item("counter", "m_sum", dimensions(json!({"unit": "s"})), json!({"value": 2.5})),
            item("gauge", "m", dimensions(json!({"unit": "s", "quantile": "0.5"})), json!({"value": 0.25})),
            item("gauge", "m", dimensions(json!({"unit": "s", "quantile": "0.99"})), json!({"value": 1.0})),
        ]),
        &[("not_a_number", 1)],
    );
    for made in converted(&request) {
        assert!(made.original.places.windows(2).all(|pair| pair[0] == pair[1]), "items of a point have its place");
    }
}

#[test]
fn histograms_that_do_not_fit() {
    let histogram =
        |more: Value| metric("m", json!({"histogram": {"aggregationTemporality": 1, "dataPoints": point(more)}}));
    for (more, reason) in [
        (json!({"count": 1, "sum": 1, "bucketCounts": [1, 0]}), "2 bucket counts for 0 bounds"),
        (json!({"count": 1, "sum": 1, "bucketCounts": [1], "explicitBounds": [1]}), "1 bucket counts for 1 bounds"),
        (json!({"count": 1, "sum": 1, "explicitBounds": [1]}), "0 bucket counts for 1 bounds"),
        (json!({"count": 1, "sum": 1, "bucketCounts": [1, 0, 0], "explicitBounds": [2, 1]}), "do not increase"),
        (json!({"count": 1, "sum": 1, "bucketCounts": [1, 0, 0], "explicitBounds": [1, 1]}), "do not increase"),
        (json!({"count": 1, "sum": 1, "bucketCounts": [1, 0], "explicitBounds": ["NaN"]}), "do not increase"),
        (json!({"count": 1}), "neither a sum nor buckets"),
        (json!({"count": 1, "bucketCounts": [1]}), "neither a sum nor buckets"),
    ] {
        assert_broken(&histogram(more), reason);
    }
    for (more, note) in [
        (json!({"count": 0, "sum": 0}), "empty_histogram"),
        (json!({"count": 0, "sum": 0, "bucketCounts": [0, 0], "explicitBounds": [1]}), "empty_histogram"),
        (json!({"count": 2, "sum": "NaN"}), "not_a_number"),
        (json!({"count": 2, "sum": "Infinity"}), "infinite"),
        (json!({"count": 2, "sum": 1, "flags": 1}), "stale_marker"),
    ] {
        assert_items(&histogram(more), json!([]), &[(note, 1)]);
    }
    let bare = histogram(json!({"count": 4, "sum": 10}));
    let expected = item(
        "histogram",
        "m",
        json!({"temporality": "delta"}),
        json!({"count": 4, "sum": 10.0, "min": 2.5, "max": 2.5}),
    );
    assert_items(&bare, json!([expected]), &[("estimated_histogram", 1)]);
}
