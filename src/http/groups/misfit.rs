//! What of a JSON body is not as it must be, and where: in words of JSON, whatever the struct is that it is read into.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Of an error that is about the data, and not the syntax, of a body that is JSON.
pub fn told(body: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    let offset = offset_of(body, error.line(), error.column());
    // What says itself what it must be is told where the object ends that it is in.
    let is_own = what.starts_with("must ");
    let path = if is_own { member_before(body, offset) } else { path_to(body, offset) };
    let (place, at) = match &*path {
        "" => ("the body".to_owned(), String::new()),
        path => (format!("`{path}`"), format!("`{path}`: ")),
    };
    let kinds = ["invalid type: ", "invalid value: ", "unknown variant "];
    let wrong = kinds.iter().find_map(|kind| what.strip_prefix(kind)?.rsplit_once(", expected "));
    match wrong {
        Some((given, wanted)) => format!("{place} must be {}, and is {}", form(wanted), value(given)),
        None if is_own => format!("{place} {what}"),
        None => format!("{at}{what}"),
    }
}

/// What a Rust type is in JSON.
fn form(wanted: &str) -> Cow<'_, str> {
    let form = match wanted {
        "a string" | "a borrowed string" | "string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a JSON object",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or greater",
        "i8" | "i16" | "i64" | "isize" => "a whole number",
        "i32" => "a whole number of up to 2147483647",
        "f32" | "f64" => "a number",
        _ if wanted.starts_with("struct ") => "a JSON object",
        _ => return wanted.strip_prefix("one of ").map_or(wanted.into(), |names| format!("one of {names}").into()),
    };
    form.into()
}

/// What it is instead, as JSON has it.
fn value(given: &str) -> Cow<'_, str> {
    match given.split_once(' ') {
        Some(("integer" | "floating", _)) => {
            let number = given.trim_start_matches(|other| other != '`').trim_matches('`');
            format!("the number {number}").into()
        }
        Some(("boolean", value)) => value.trim_matches('`').to_owned().into(),
        Some(("string", text)) => format!("the text {text}").into(),
        _ => match given {
            "map" => "an object".into(),
            "sequence" => "a list".into(),
            other => other.into(),
        },
    }
}

fn offset_of(body: &[u8], line: usize, column: usize) -> usize {
    let before: usize = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before + column
}

/// The names and ordinals that lead to the value in which a byte is, or behind which it comes: `mask[1].path`.
fn path_to(body: &[u8], offset: usize) -> String {
    let (mut path, mut inner) = (String::new(), body);
    while let Some((step, value)) = step_to(inner, body, offset) {
        if step.starts_with('[') || path.is_empty() {
            path += &step;
        } else {
            path = format!("{path}.{step}");
        }
        inner = value;
    }
    path
}

/// The last member of a body that begins before a byte.
fn member_before(body: &[u8], offset: usize) -> String {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    let start = |inner: &RawValue| inner.get().as_ptr().addr() - body.as_ptr().addr();
    let before = members.into_iter().filter(|(_, inner)| start(inner) < offset);
    before.max_by_key(|(_, inner)| start(inner)).map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The member or item of a value in which a byte of the body is.
fn step_to<'a>(value: &'a [u8], body: &[u8], offset: usize) -> Option<(String, &'a [u8])> {
    let holds = |inner: &RawValue| {
        let start = inner.get().as_ptr().addr() - body.as_ptr().addr();
        (start..=start + inner.get().len()).contains(&offset)
    };
    if value.trim_ascii_start().starts_with(b"[") {
        let items: Vec<&RawValue> = serde_json::from_slice(value).ok()?;
        let (at, inner) = items.into_iter().enumerate().find(|(_, inner)| holds(inner))?;
        return Some((format!("[{at}]"), inner.get().as_bytes()));
    }
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(value).ok()?;
    let (name, inner) = members.into_iter().find(|(_, inner)| holds(inner))?;
    Some((name.into_owned(), inner.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read, and looked at by nobody")]
    struct Inner {
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read, and looked at by nobody")]
    struct Outer {
        count: Option<u32>,
        small: Option<i32>,
        name: Option<String>,
        on: Option<bool>,
        inner: Option<Vec<Inner>>,
        names: Option<Vec<String>>,
        place: Option<Place>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged, expecting = "must be a word or an offset")]
    #[expect(dead_code, reason = "read, and looked at by nobody")]
    enum Place {
        Offset(u64),
        Word(String),
    }

    #[test]
    fn it_is_said_what_is_wrong_and_where() {
        for (body, says) in [
            ("7", "the body must be a JSON object, and is the number 7"),
            (r#"{"count":"x"}"#, r#"`count` must be a whole number, 0 or greater, and is the text "x""#),
            (r#"{"count":-1}"#, "`count` must be a whole number, 0 or greater, and is the number -1"),
            (r#"{"small":1.5}"#, "`small` must be a whole number of up to 2147483647, and is the number 1.5"),
            (
                r#"{"small":3000000000}"#,
                "`small` must be a whole number of up to 2147483647, and is the number 3000000000",
            ),
            ("{\"name\":\n 5}", "`name` must be text, and is the number 5"),
            (r#"{"name":{"a":1}}"#, "`name` must be text, and is an object"),
            (r#"{"on":null,"name":["x"]}"#, "`name` must be text, and is a list"),
            (r#"{"on":"true"}"#, r#"`on` must be true or false, and is the text "true""#),
            (r#"{"inner":{}}"#, "`inner` must be a list, and is an object"),
            (r#"{"inner":[{"kind":"one"},7]}"#, "`inner[1]` must be a JSON object, and is the number 7"),
            (r#"{"inner":[{"kind":"x"}]}"#, "`inner[0].kind` must be `one` or `two`, and is `x`"),
            (r#"{"inner":[{"kind":5}]}"#, "`inner[0].kind`"),
            (r#"{"inner":[{}]}"#, "`inner[0]`: missing field `kind`"),
            (r#"{"names":["a", 5]}"#, "`names[1]` must be text, and is the number 5"),
            (r#"{"names":["a", null]}"#, "`names[1]` must be text, and is null"),
            (r#"{"place":-1}"#, "`place` must be a word or an offset"),
            (r#"{"place":{"name":1}}"#, "`place` must be a word or an offset"),
            (r#"{"count":1, "place":[1], "name":"x"}"#, "`place` must be a word or an offset"),
            (r#"{"nam":5}"#, "unknown field `nam`, expected one of"),
        ] {
            let error = serde_json::from_slice::<Outer>(body.as_bytes()).expect_err(body);
            let told = told(body.as_bytes(), &error);
            assert!(told.starts_with(says), "{body}: {told} ({error})");
            assert!(!told.contains("struct") && !told.contains(" at line"), "{body}: {told}");
        }
    }
}
