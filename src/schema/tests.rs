//! Schemas against what they say of payloads, and against what nobody should send.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use super::*;

fn judge(schema: &str, payload: &str) -> Option<(String, String)> {
    let schema = Schema::compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    schema.judge(payload).err().map(|violation| (violation.field, violation.rule))
}

fn refused(schema: &str) -> String {
    Schema::compile(schema).err().unwrap_or_else(|| panic!("it is taken: {schema}")).0
}

#[test]
fn a_violation_names_the_field_and_the_rule() {
    let schema = r#"{"type":"object","required":["a"],"additionalProperties":false,
        "properties":{"a":{"type":"integer","minimum":3},"b~/":{"items":{"maxLength":2}}}}"#;
    let pointers = |field: &str, rule: &str| Some((field.to_owned(), rule.to_owned()));
    assert_eq!(judge(schema, r#"{"a":3,"b~/":["xx"]}"#), None);
    assert_eq!(judge(schema, r#"{"a":2}"#), pointers("/a", "/properties/a/minimum"));
    assert_eq!(judge(schema, r#"{"a":"x"}"#), pointers("/a", "/properties/a/type"));
    assert_eq!(judge(schema, "{}"), pointers("/a", "/required"));
    assert_eq!(judge(schema, r#"{"a":3,"c/d":1}"#), pointers("/c~1d", "/additionalProperties"));
    assert_eq!(
        judge(schema, r#"{"a":3,"b~/":["x","xxx"]}"#),
        pointers("/b~0~1/1", "/properties/b~0~1/items/maxLength")
    );
    let told = Schema::compile(schema).unwrap().judge(r#"{"a":"secret"}"#).unwrap_err().to_string();
    assert!(told.contains("integer") && !told.contains("secret"), "{told}");
}

#[test]
fn numbers_are_compared_exactly() {
    for (schema, payload, good) in [
        (r#"{"maximum":9007199254740992}"#, "9007199254740993", false),
        (r#"{"maximum":9007199254740992}"#, "9007199254740992.0", true),
        (r#"{"maximum":9007199254740992}"#, "9007199254740992.5", false),
        (r#"{"maximum":18446744073709551616}"#, "18446744073709551617", false),
        (r#"{"maximum":18446744073709551616}"#, "18446744073709551616", true),
        (
            r#"{"exclusiveMaximum":972783798187987123879878123.18878137}"#,
            "972783798187987123879878123.188781371",
            false,
        ),
        (r#"{"exclusiveMinimum":0.1}"#, "0.1000000000000000000001", true),
        (r#"{"exclusiveMinimum":0.1}"#, "0.10000", false),
        (r#"{"const":12345678901234567890.123456789}"#, "12345678901234567890.123456789", true),
        (r#"{"const":12345678901234567890.123456789}"#, "12345678901234567890.123456788", false),
        (r#"{"enum":[1.0]}"#, "1", true),
        (r#"{"enum":[1e2]}"#, "100", true),
        (r#"{"type":"integer"}"#, "1.0", true),
        (r#"{"type":"integer"}"#, "9007199254740992.5", false),
        (r#"{"type":"integer"}"#, "1e400", true),
        (r#"{"maximum":1e400}"#, "1e401", false),
        (r#"{"minimum":1e400}"#, "1e401", true),
        (r#"{"multipleOf":0.01}"#, "123456789012345678.07", true),
        (r#"{"multipleOf":0.01}"#, "123456789012345678.071", false),
        (r#"{"uniqueItems":true}"#, "[9007199254740993, 9007199254740992]", true),
        (r#"{"uniqueItems":true}"#, "[1, 1.0]", false),
    ] {
        assert_eq!(judge(schema, payload).is_none(), good, "{schema} {payload}");
    }
}

#[test]
fn formats_annotate() {
    assert_eq!(judge(r#"{"format":"email"}"#, "\"no address\""), None);
    assert_eq!(judge(r#"{"contentMediaType":"application/json"}"#, "\"{\""), None);
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    for (schema, says) in [
        (r#"{"$ref":"https://example.com/other.json"}"#.to_owned(), "nothing is fetched"),
        (r#"{"$ref":"file:///etc/passwd"}"#.to_owned(), "nothing is fetched"),
        (r##"{"$ref":"#/$defs/none"}"##.to_owned(), "not in it"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#.to_owned(), "only https://json-schema.org"),
        (r#"{"properties":{"a":{"$schema":"https://example.com/own"}}}"#.to_owned(), "/properties/a/$schema"),
        (r#"{"pattern":"((a{1,1000}){1,1000}){1,1000}"}"#.to_owned(), "regular"),
        (r#"{"pattern":"(?=a)b"}"#.to_owned(), "regular"),
        (r#"{"pattern":"(a)\\1"}"#.to_owned(), "regular"),
        (r#"{"patternProperties":{"(":true}}"#.to_owned(), "regular"),
        (format!(r#"{{"pattern":"{}"}}"#, "a".repeat(2000)), "longer than 1024"),
        (r#"{"type":"strin"}"#.to_owned(), "/type"),
        (r#"{"minimum":"x"}"#.to_owned(), "/minimum"),
        ("7".to_owned(), "type"),
        ("{".to_owned(), "no JSON"),
        (r#"{"type":"object","type":"object"}"#.to_owned(), "twice"),
        (format!("{}true{}", r#"{"not":"#.repeat(33), "}".repeat(33)), "deeper than 32"),
        (format!(r#"{{"description":"{}"}}"#, "x".repeat(70_000)), "may have 65536"),
        (
            format!(
                r#"{{"allOf":[{}]}}"#,
                (0..65).map(|n| format!(r#"{{"pattern":"{n}"}}"#)).collect::<Vec<_>>().join(",")
            ),
            "more than 64 expressions",
        ),
    ] {
        let why = refused(&schema);
        assert!(why.contains(says), "{}: {why}", &schema[..schema.len().min(80)]);
    }
    assert_eq!(judge(&format!("{}true{}", r#"{"not":"#.repeat(32), "}".repeat(32)), "1"), None);
}

#[test]
fn expressions_take_time_that_grows_with_the_text() {
    // What makes backtracking take forever, and what is a large program: at worst each byte leads through all of it.
    for pattern in ["^(([a-z])+.)+[A-Z]([a-z])+$", "^([a-z]{1,50}[0-9a-f]{0,50}){1,12}x([a-z]{1,60}){1,12}$"] {
        for schema in [
            format!(r#"{{"additionalProperties":{{"pattern":"{pattern}"}}}}"#),
            format!(r#"{{"propertyNames":{{"pattern":"{pattern}"}}}}"#),
            format!(r#"{{"patternProperties":{{"{pattern}":true}},"additionalProperties":false}}"#),
        ] {
            let schema = Schema::compile(&schema).unwrap();
            for bytes in [60_000, 1_900_000, 8_000_000] {
                let text = "a".repeat(bytes);
                for payload in [format!(r#"{{"a":"{text}"}}"#), format!(r#"{{"{text}":"a"}}"#)] {
                    let begun = Instant::now();
                    let _ = schema.judge(&payload);
                    assert!(begun.elapsed() < Duration::from_secs(10), "{pattern} {bytes} {:?}", begun.elapsed());
                }
            }
        }
    }
    // Nor is an ordinary text too long for an ordinary expression.
    let ordinary = Schema::compile(r#"{"items":{"pattern":"^/v[0-9]+/"}}"#).unwrap();
    assert_eq!(ordinary.judge(&format!(r#"["/v1/{}"]"#, "a".repeat(1_000_000))), Ok(()));
}

#[test]
fn exponents_are_not_written_out() {
    for keyword in ["maximum", "minimum", "multipleOf", "const"] {
        for number in ["1e1000000000", "1e-1000000000", "123456789e-99999999"] {
            let begun = Instant::now();
            if let Ok(schema) = Schema::compile(&format!(r#"{{"{keyword}":{number}}}"#)) {
                for payload in ["1", "1.5", "1e400", "-1e-400", "12345678901234567890.5"] {
                    let _ = schema.judge(payload);
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{keyword} {number}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn all_events_of_a_request_share_its_looks() {
    let schema = Schema::compile(r#"{"items":{"type":"integer"}}"#).unwrap();
    let (payload, mut left) = (format!("[{}1]", "1,".repeat(999)), 100_000);
    let judged: Vec<Result<(), Violation>> = (0..1000).map(|_| schema.judge_within(&payload, &mut left)).collect();
    let good = judged.iter().take_while(|one| one.is_ok()).count();
    assert!((10..100).contains(&good), "{good}");
    assert!(judged[good..].iter().all(|one| one.as_ref().is_err_and(|why| why.what.contains("send fewer"))), "{left}");
    assert_eq!(schema.judge(&payload), Ok(()), "by itself it is as it should be");
}

#[test]
fn a_schema_that_multiplies_itself_is_stopped() {
    // Each definition asks the next one twice of the same value: 2^40 looks.
    let chain = |value: &str| {
        let defs: Vec<String> = (0..40)
            .map(|n| format!(r##""d{n}":{{"anyOf":[{{"$ref":"#/$defs/d{m}"}},{{"not":{{"$ref":"#/$defs/d{m}"}}}}],"minimum":{n}}}"##, m = n + 1))
            .collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d40":{value}}}}}"##, defs.join(","))
    };
    for text in
        [chain("false"), r##"{"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"},"minItems":1}]}"##.to_owned()]
    {
        let schema = Schema::compile(&text).unwrap();
        let begun = Instant::now();
        let _ = schema.judge("41");
        let _ = schema.judge(&format!("{}1{}", "[".repeat(60), "]".repeat(60)));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
    let deep = Schema::compile(&chain("true")).unwrap();
    assert!(deep.judge("50").is_ok(), "what is found at once is not stopped");
}

#[test]
fn references_lead_so_far_and_no_further() {
    let chain = |count: usize| {
        let defs: Vec<String> =
            (0..count).map(|n| format!(r##""d{n}":{{"items":{{"$ref":"#/$defs/d{}"}}}}"##, n + 1)).collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":{{"$ref":"#/$defs/d0"}}}}}}"##, defs.join(","))
    };
    let in_place = |count: usize| {
        let defs: Vec<String> = (0..count)
            .map(|n| format!(r##""d{n}":{{"allOf":[{{"allOf":[{{"$ref":"#/$defs/d{}"}}]}}]}}"##, n + 1))
            .collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{count}":{{"items":{{"$ref":"#"}}}}}}}}"##, defs.join(","))
    };
    assert!(refused(&chain(300)).contains("256 references"));
    assert_eq!(Schema::compile(&chain(250)).unwrap().judge("[[1]]"), Ok(()));
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    for text in [chain(250), in_place(250)] {
        let schema = Schema::compile(&text).unwrap();
        // On a thread as the server's are, it ends one way or the other.
        std::thread::scope(|scope| {
            let judged = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, || schema.judge(&deep));
            let _ = judged.unwrap().join().unwrap();
        });
    }
}

#[test]
fn a_schema_that_is_only_itself_ends() {
    for text in [r##"{"$ref":"#"}"##, r##"{"allOf":[{"$ref":"#"}]}"##, r##"{"not":{"$ref":"#"}}"##] {
        if let Ok(schema) = Schema::compile(text) {
            let _ = schema.judge(r#"{"a":1}"#);
        }
    }
}
