//! Lines as InfluxDB's own tests have them: `models/points_test.go` of version 1, `influxdb_line_protocol` of 3.

use serde_json::{Map, Value as Json, json};

use super::super::line::{Line, end_of_broken};
use super::super::value::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Measurement, tags, fields and timestamp of a line; numbers as text where they are JSON as they stand.
fn read(line: &str, of_v3: bool) -> Result<(Json, usize), String> {
    let mut read = Line::default();
    let end = read.read(line.as_bytes(), 0, of_v3).map_err(|fault| format!("{}: {}", fault.at, fault.what))?;
    let tags: Map<String, Json> = read.tags.iter().map(|(key, value)| (text(key), text(value).into())).collect();
    let value = |value: &Value<'_>| match value {
        Value::Number(written) => serde_json::from_slice(written).unwrap(),
        Value::Double(value) => json!(value),
        Value::Text(value) => json!({"text": text(value)}),
    };
    let fields: Map<String, Json> = read.fields.iter().map(|(key, of)| (text(key), value(of))).collect();
    assert_eq!(fields.len(), read.fields.len());
    Ok((json!([text(&read.measurement), tags, fields, read.timestamp]), end))
}

/// Those that all versions read the same.
fn lines() -> Vec<(&'static str, Json)> {
    let one = |measurement: &str, tags: Json, fields: Json| json!([measurement, tags, fields, null]);
    let at = |fields: Json| json!(["cpu", {}, fields, 1_000_000_000]);
    vec![
        ("cpu value=1", one("cpu", json!({}), json!({"value": 1}))),
        (
            "cpu,host=serverA,region=us-east value=1.0 1000000000",
            json!(["cpu", {"host": "serverA", "region": "us-east"}, {"value": 1.0}, 1_000_000_000]),
        ),
        // Escaped names.
        (r"foo\,bar value=1i", one("foo,bar", json!({}), json!({"value": 1}))),
        (r"cpu\,main,regions=east value=1.0", one("cpu,main", json!({"regions": "east"}), json!({"value": 1.0}))),
        (r"cpu\ load,region=east value=1.0", one("cpu load", json!({"region": "east"}), json!({"value": 1.0}))),
        (r"cpu\=load,region=east value=1.0", one(r"cpu\=load", json!({"region": "east"}), json!({"value": 1.0}))),
        ("cpu=load,region=east value=1.0", one("cpu=load", json!({"region": "east"}), json!({"value": 1.0}))),
        (r"cpu,region\,zone=east value=1.0", one("cpu", json!({"region,zone": "east"}), json!({"value": 1.0}))),
        (r"cpu,region\ zone=east value=1.0", one("cpu", json!({"region zone": "east"}), json!({"value": 1.0}))),
        (r"cpu,\ =east value=1.0", one("cpu", json!({" ": "east"}), json!({"value": 1.0}))),
        (r"cpu,regions=east\,west value=1.0", one("cpu", json!({"regions": "east,west"}), json!({"value": 1.0}))),
        (r"cpu,regions=east\ west value=1.0", one("cpu", json!({"regions": "east west"}), json!({"value": 1.0}))),
        (r"cpu,regions=eas\t value=1.0", one("cpu", json!({"regions": r"eas\t"}), json!({"value": 1.0}))),
        (r"cpu,regions=east value\,ms=1.0", one("cpu", json!({"regions": "east"}), json!({"value,ms": 1.0}))),
        (r"cpu,regions=east value\ ms=1.0", one("cpu", json!({"regions": "east"}), json!({"value ms": 1.0}))),
        (r"cpu \a=1i", one("cpu", json!({}), json!({r"\a": 1}))),
        (r"cpu a\ =123i", one("cpu", json!({}), json!({"a ": 123}))),
        (
            r"cpu=load,equals\=foo=tag\=value value=1i",
            one("cpu=load", json!({"equals=foo": "tag=value"}), json!({"value": 1})),
        ),
        (r"\wea\ther v=1", one(r"\wea\ther", json!({}), json!({"v": 1}))),
        (
            "weat\\\nher,wind\\\ny=no\\\nt b\\\nad=1",
            one("weat\\\nher", json!({"wind\\\ny": "no\\\nt"}), json!({"b\\\nad": 1})),
        ),
        // Quotes mean nothing in names.
        ("\"cpu\",\"host\"=\"serverA\" \"a=1", one("\"cpu\"", json!({"\"host\"": "\"serverA\""}), json!({"\"a": 1}))),
        ("baz,mytag=\"a x=1 1441103862125", json!(["baz", {"mytag": "\"a"}, {"x": 1}, 1_441_103_862_125_i64])),
        ("m,tag\x001=one,tag2=\0 val\0ue=1", one("m", json!({"tag\x001": "one", "tag2": "\0"}), json!({"val\0ue": 1}))),
        // Text.
        (r#"cpu str="foo \" bar" 1000000000"#, at(json!({"str": {"text": "foo \" bar"}}))),
        (
            r#"cpu v=1.0,str="foo bar",s2="a,b=c" 1000000000"#,
            at(json!({"v": 1.0, "str": {"text": "foo bar"}, "s2": {"text": "a,b=c"}})),
        ),
        ("cpu value=1.0,str=\"foo\nbar\" 1000000000", at(json!({"value": 1.0, "str": {"text": "foo\nbar"}}))),
        (r#"cpu str="foo\,bar" 1000000000"#, at(json!({"str": {"text": r"foo\,bar"}}))),
        (r#"cpu str="foo\\",str2="bar" 1000000000"#, at(json!({"str": {"text": r"foo\"}, "str2": {"text": "bar"}}))),
        (r#"cpu value="{Hello\"{,}\" World}" 1000000000"#, at(json!({"value": {"text": "{Hello\"{,}\" World}"}}))),
        (r#"cpu value="{Hello\"{\,}\" World}" 1000000000"#, at(json!({"value": {"text": "{Hello\"{\\,}\" World}"}}))),
        (r#"cpu value="test\\\"" 1000000000"#, at(json!({"value": {"text": "test\\\""}}))),
        (r#"cpu value="test\\" 1000000000"#, at(json!({"value": {"text": "test\\"}}))),
        (r#"cpu value="wè",e="" 1000000000"#, at(json!({"value": {"text": "wè"}, "e": {"text": ""}}))),
        (r#"foo asdf="too hot\cold""#, one("foo", json!({}), json!({"asdf": {"text": r"too hot\cold"}}))),
        (r#"foo asdf="too hot\\\cold""#, one("foo", json!({}), json!({"asdf": {"text": r"too hot\\cold"}}))),
        (r#"foo asdf="too hot\\\\\cold""#, one("foo", json!({}), json!({"asdf": {"text": r"too hot\\\cold"}}))),
        // Numbers and booleans.
        (
            "m a=-1,b=1.5,c=-0.25,d=0,e=-7i,f=7u,g=100",
            one("m", json!({}), json!({"a": -1, "b": 1.5, "c": -0.25, "d": 0, "e": -7, "f": 7, "g": 100})),
        ),
        (
            "m a=9223372036854775807i,b=-9223372036854775808i,c=18446744073709551615u",
            one("m", json!({}), json!({"a": i64::MAX, "b": i64::MIN, "c": u64::MAX})),
        ),
        (
            "m a=1.0e4,b=1e4,c=1.0E4,d=1E4,e=1.0e-4,f=-1.5e+2,g=1e-0",
            one("m", json!({}), json!({"a": 1e4, "b": 1e4, "c": 1e4, "d": 1e4, "e": 1e-4, "f": -150.0, "g": 1.0})),
        ),
        ("m a=0009i,b=-000u".get(..9).unwrap(), one("m", json!({}), json!({"a": 9.0}))),
        (
            "m t=t,T=T,true=true,True=True,TRUE=TRUE",
            one("m", json!({}), json!({"t": 1, "T": 1, "true": 1, "True": 1, "TRUE": 1})),
        ),
        (
            "m f=f,F=F,false=false,False=False,FALSE=FALSE",
            one("m", json!({}), json!({"f": 0, "F": 0, "false": 0, "False": 0, "FALSE": 0})),
        ),
        // Blanks and times.
        ("cpu      value=1.0     1000000000   ", at(json!({"value": 1.0}))),
        ("cpu value=1.0 1000000000\r", at(json!({"value": 1.0}))),
        ("cpu value=1 ", one("cpu", json!({}), json!({"value": 1}))),
        ("cpu value=1\r", one("cpu", json!({}), json!({"value": 1}))),
        ("cpu value=1 -1", json!(["cpu", {}, {"value": 1}, -1])),
        ("cpu value=1 9223372036854775806", json!(["cpu", {}, {"value": 1}, 9_223_372_036_854_775_806_i64])),
        ("cpu value=1 -9223372036854775808", json!(["cpu", {}, {"value": 1}, i64::MIN])),
        // The last of several fields counts.
        ("cpu a=1,b=2,a=3,a=4", one("cpu", json!({}), json!({"b": 2, "a": 4}))),
    ]
}

#[test]
fn good_lines_are_read() {
    for (line, expected) in lines() {
        for of_v3 in [false, true] {
            let (found, end) = read(line, of_v3).unwrap_or_else(|fault| panic!("{line}: {fault}"));
            assert_eq!(found, expected, "{line}");
            assert_eq!(end, line.trim_end_matches('\r').len(), "{line}");
        }
    }
}

#[test]
fn a_line_ends_at_its_newline() {
    for (line, _) in lines() {
        let (alone, end) = read(line, false).unwrap();
        for next in ["\n", "\ncpu value=2", "\n\"", "\r\n\\"] {
            let more = format!("{}{next}", line.trim_end_matches('\r'));
            assert_eq!(read(&more, false).unwrap(), (alone.clone(), end), "{more}");
            let newline = more.len() - next.trim_start_matches('\r').len();
            assert_eq!(end_of_broken(more.as_bytes(), 0, true), Some(newline), "{more}");
        }
    }
}

/// A backslash before what needs one takes its meaning, in version 1 and 2 also behind other backslashes; in 3, two
/// are one.
#[test]
fn backslashes_differ_by_version() {
    let tag = |line: &str, of_v3| read(line, of_v3).map(|(found, _)| found[1].to_string());
    for (line, v1, v3) in [
        (r"cpu,reg\\=ion=east value=1.0", Ok(r#"{"reg\\=ion":"east"}"#), Ok(r#"{"reg\\":"ion=east"}"#)),
        (r"cpu,regions=\\ east value=1.0", Ok(r#"{"regions":"\\ east"}"#), Err(())),
        (r"cpu,regions=eas\\ t value=1.0", Ok(r#"{"regions":"eas\\ t"}"#), Err(())),
        (r"cpu,regions=east\\  value=1.0", Ok(r#"{"regions":"east\\ "}"#), Ok(r#"{"regions":"east\\"}"#)),
        (r"cpu,regions=\\,\,\=east value=1.0", Ok(r#"{"regions":"\\,,=east"}"#), Err(())),
        (r"cpu,a=\\wea\\ther value=1.0", Ok(r#"{"a":"\\\\wea\\\\ther"}"#), Ok(r#"{"a":"\\wea\\ther"}"#)),
        ("cpu,host=f=o value=1", Err(()), Ok(r#"{"host":"f=o"}"#)),
    ] {
        let known = |found: Result<String, String>| found.map_err(|_| ());
        assert_eq!(known(tag(line, false)), v1.map(str::to_owned), "{line}");
        assert_eq!(known(tag(line, true)), v3.map(str::to_owned), "{line}");
    }
    // Two backslashes do not hide the newline behind them.
    assert!(read("cpu\\\\\nx value=1", false).is_err());
}

#[test]
fn broken_lines_say_where_and_what() {
    let huge = format!("m v=1{}", "0".repeat(309));
    for (line, at, what) in [
        (",tag=1 value=1", 0, "no measurement"),
        ("cpu", 3, "no fields"),
        ("=", 1, "no fields"),
        ("cpu_load_short,host=server01", 28, "no fields"),
        ("cpu,host==", 9, "the tag has no value"),
        ("cpu, value=1", 4, "a tag has no key"),
        ("cpu,", 4, "a tag has no key"),
        ("cpu,,,", 4, "a tag has no key"),
        ("cpu,host=serverA,=us-east value=1i", 17, "a tag has no key"),
        (r"cpu,host=serverA\,,=us-east value=1i", 19, "a tag has no key"),
        ("cpu, =serverA value=1i", 4, "a tag has no key"),
        ("cpu,host", 8, "a tag is a key"),
        ("cpu,host,", 8, "a tag is a key"),
        ("cpu,host=", 9, "the tag has no value"),
        ("cpu,host value=1i", 8, "a tag is a key"),
        ("cpu,host=a,region=,zone=b value=1i", 18, "the tag has no value"),
        ("cpu,host=f=o, value=1", 10, "equals sign"),
        (r"cpu,host=f\==o, value=1", 12, "equals sign"),
        ("cpu,host=a,host=b value=1i 1", 0, "two tags"),
        ("cpu,b=2,b=1,c=3 value=1i 1", 0, "two tags"),
        ("cpu,b=2,c=3,b=1 value=1i 1", 0, "two tags"),
        ("cpu =", 4, "a field has no key"),
        ("cpu =123i", 4, "a field has no key"),
        ("cpu value=123i,=456i", 15, "a field has no key"),
        ("cpu value=", 10, "has no value"),
        ("cpu value= 1", 10, "has no value"),
        ("cpu value=,value2=1i", 10, "has no value"),
        ("cpu 1434055562000000000i", 24, "a field is a key"),
        ("cpu value=1i,b", 14, "a field is a key"),
        ("m f=\"blah\"=123,r 1531703600000000000", 10, "behind the text"),
        ("cpu \"\\, '= \"\\ v=1.0", 7, "a field is a key"),
        ("cpu value=1,\n", 12, "a field is a key"),
        ("cpu v=- ", 6, "no number"),
        ("cpu v=-i ", 6, "no number"),
        ("cpu v=-. ", 6, "no number"),
        ("cpu v=. ", 6, "no number"),
        ("cpu v=1.0i ", 9, "no number"),
        ("cpu v=1ii ", 8, "no number"),
        ("cpu v=1a ", 7, "no number"),
        ("cpu v=-e-e-e ", 6, "no number"),
        ("cpu v=42+3 ", 8, "no number"),
        ("cpu v=+1", 6, "a value is"),
        ("cpu v=-123u", 6, "no minus sign"),
        ("cpu v=.1a", 8, "no number"),
        ("cpu v=0.-1", 8, "no number"),
        ("cpu v=1.1.1", 9, "no number"),
        ("cpu v=9ie10", 8, "no number"),
        ("cpu v=9e10i", 10, "no number"),
        ("cpu v=1e", 6, "no number"),
        ("cpu v=1e+", 6, "no number"),
        ("cpu v=0x10", 7, "no number"),
        ("cpu v=9223372036854775808i", 6, "64 bits"),
        ("cpu v=-9223372036854775809i", 6, "64 bits"),
        ("cpu v=18446744073709551616u", 6, "64 bits"),
        ("cpu v=1e400", 6, "larger than a double"),
        (&huge, 4, "larger than a double"),
        ("cpu v=NaN 1", 6, "finite number"),
        ("cpu v=nAn", 6, "finite number"),
        ("cpu v=inf", 6, "finite number"),
        ("cpu v=\0", 6, "finite number"),
        ("cpu v=a", 6, "finite number"),
        ("cpu v=tru", 6, "a boolean is"),
        ("cpu v=TRUe", 6, "a boolean is"),
        ("cpu v=true!", 10, "a boolean is"),
        ("cpu v=truefalse", 6, "a boolean is"),
        ("cpu value=\"test", 10, "has no end"),
        ("cpu value=\"test\"\"", 16, "behind the text"),
        (r#"cpu value="test\""#, 10, "has no end"),
        ("cpu value=1 9223372036854775808", 12, "64 bits"),
        ("cpu value=1 -92233720368547758078", 12, "64 bits"),
        ("cpu value=1 -", 13, "a timestamp, a whole number"),
        ("cpu value=1 -/", 13, "a timestamp, a whole number"),
        ("cpu value=1 x", 12, "a timestamp, a whole number"),
        ("cpu value=1 -1?", 14, "nothing stands behind"),
        ("cpu value=1 1-", 13, "nothing stands behind"),
        ("cpu value=1 1.5", 13, "nothing stands behind"),
        ("cpu value=1 9223372036854775807 12", 32, "nothing stands behind"),
        (r"a v=1 0\", 7, "nothing stands behind"),
        ("cpu value=1 1\r1", 13, "nothing stands behind"),
    ] {
        let fault = read(line, false).expect_err(line);
        assert!(fault.starts_with(&format!("{at}: ")) && fault.contains(what), "{line}: {fault}, not {at}: {what}");
    }
    // `1.` and `.1` are numbers to InfluxDB 1.
    assert_eq!(read("m a=.1,b=1.,c=-.5", false).unwrap().0[2], json!({"a": 0.1, "b": 1.0, "c": -0.5}));
}

#[test]
fn many_keys_are_compared_as_few_are() {
    let tags = |prefix: &str| (0..1000).map(|n| format!(",{prefix}{}=x", n * 7919 % 1000)).collect::<String>();
    assert_eq!(read(&format!("m{} v=0", tags("t")), false).unwrap().0[1].as_object().unwrap().len(), 1000);
    assert!(read(&format!("m{},t500=y v=0", tags("t")), false).unwrap_err().contains("two tags"));
    let fields: String = (0..100).map(|n| format!("f{}={n},", n % 60)).collect();
    let (found, _) = read(&format!("m {fields}last=1"), false).unwrap();
    assert_eq!((found[2].as_object().unwrap().len(), &found[2]["f5"], &found[2]["f59"]), (61, &json!(65), &json!(59)));
    let many = format!("m{} v=0", ",a=b".repeat(10_001));
    assert!(read(&many, false).unwrap_err().contains("at most 10,000 tags"));
}

#[test]
fn broken_lines_end_where_quotes_say() {
    for (body, end) in [
        ("foo", Some(3)),
        ("foo\nbar", Some(3)),
        ("meas tag=val field=\"\nval\"\nnext", Some(25)),
        ("meas tag=val field=\\\"\nval\"\nnext", Some(21)),
        ("meas tag=val field=1,field=\"\nval\"\nnext", Some(33)),
        ("cpu v=nan,m=\"\ncpu v=1\n\" 1\ncpu v=2", Some(25)),
        ("t159,label=hey\\ \"ya a=1i,v=x\nt159,label=b a=2i", Some(28)),
        ("cpu v=x,m=\"\ncpu v=1\n", None),
    ] {
        assert_eq!(end_of_broken(body.as_bytes(), 0, true), end, "{body}");
    }
    assert_eq!(end_of_broken(b"a b=\"\n\\\n\"\n", 0, false), Some(5));
    assert_eq!(end_of_broken(b"a b=\\\n\"\nc", 0, false), Some(7));
}
