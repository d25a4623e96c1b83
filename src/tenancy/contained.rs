//! What payloads of events that are to be erased contain, and whether what was kept as it was sent contains it as well.

use serde_json::{Map, Number, Value};

/// A condition `{"payload":{...}}`: as PostgreSQL's `@>` has it.
#[derive(Debug, Clone)]
pub struct Contained {
    text: String,
    payload: Map<String, Value>,
}

impl Contained {
    /// # Errors
    ///
    /// What it must be instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            r#"must be {"payload":{...}} with what payloads contain, such as {"payload":{"user":{"id":7}}}"#.to_owned()
        };
        let condition: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("{}: {error}", wrong()))?;
        match condition.get("payload") {
            // Every payload contains nothing.
            Some(Value::Object(payload))
                if condition.len() == 1 && payload.values().all(says_something) && !payload.is_empty() =>
            {
                Ok(Self { text: text.to_owned(), payload: payload.clone() })
            }
            _ => Err(wrong()),
        }
    }

    /// As it was given, for SQL.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which members of payloads it names: their values are what is to be forgotten.
    pub fn members(&self) -> Vec<&str> {
        self.payload.keys().map(String::as_str).collect()
    }

    /// Whether an object contains it anywhere in what was sent, which is JSON or lines of JSON. None: it may, since not all of it can
    /// be read.
    pub fn is_in(&self, sent: &[u8]) -> Option<bool> {
        if let Ok(value) = serde_json::from_slice::<Value>(sent) {
            return Some(self.is_within(&value));
        }
        let mut all_read = true;
        for line in sent.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(value) if self.is_within(&value) => return Some(true),
                Ok(_) => {}
                Err(_) => all_read = false,
            }
        }
        all_read.then_some(false)
    }

    fn is_within(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => {
                object_contains(members, &self.payload) || members.values().any(|value| self.is_within(value))
            }
            Value::Array(elements) => elements.iter().any(|value| self.is_within(value)),
            _ => false,
        }
    }
}

/// An empty object or array at its end asks for no value.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty() && members.values().all(says_something),
        Value::Array(elements) => !elements.is_empty() && elements.iter().all(says_something),
        _ => true,
    }
}

fn object_contains(members: &Map<String, Value>, asked: &Map<String, Value>) -> bool {
    asked.iter().all(|(name, asked)| members.get(name).is_some_and(|value| contains(value, asked)))
}

fn contains(value: &Value, asked: &Value) -> bool {
    match (value, asked) {
        (Value::Object(members), Value::Object(asked)) => object_contains(members, asked),
        (Value::Array(elements), Value::Array(asked)) => {
            asked.iter().all(|asked| elements.iter().any(|value| contains(value, asked)))
        }
        (Value::Number(value), Value::Number(asked)) => is_same_number(value, asked),
        _ => value == asked,
    }
}

/// Whatever way they are written.
fn is_same_number(one: &Number, other: &Number) -> bool {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.total_cmp(&other).is_eq()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn is_what_postgresql_says_of_objects() {
        let is_in = |asked: &str, sent: &str| {
            Contained::parse(&format!(r#"{{"payload":{asked}}}"#)).unwrap().is_in(sent.as_bytes())
        };
        let sent = r#"[{"event_type":"x","payload":{"user":{"id":7,"tags":["a",["b"],{"c":1.50}]},"n":null}}]"#;
        for asked in [
            r#"{"user":{"id":7}}"#,
            r#"{"user":{"id":7.0}}"#,
            r#"{"user":{"tags":["a"]}}"#,
            r#"{"user":{"tags":[{"c":1.5},"a"]}}"#,
            r#"{"n":null}"#,
            r#"{"id":7}"#,
        ] {
            assert_eq!(is_in(asked, sent), Some(true), "{asked}");
        }
        for asked in [
            r#"{"user":{"id":"7"}}"#,
            r#"{"user":{"id":70}}"#,
            r#"{"user":{"tags":"a"}}"#,
            r#"{"user":{"tags":["b"]}}"#,
            r#"{"user":7}"#,
            r#"{"m":null}"#,
        ] {
            assert_eq!(is_in(asked, sent), Some(false), "{asked}");
        }
        // Beyond what a double tells apart.
        assert_eq!(is_in(r#"{"id":9007199254740993}"#, r#"{"id":9007199254740992}"#), Some(false));
        // Lines; what cannot be read may hold it.
        assert_eq!(is_in(r#"{"id":2}"#, "{\"id\":1}\n\n{\"id\":2}\n"), Some(true));
        assert_eq!(is_in(r#"{"id":3}"#, "{\"id\":1}\n{\"id\":2}\n"), Some(false));
        assert_eq!(is_in(r#"{"id":2}"#, "{\"id\":1\n{\"id\":2}"), Some(true));
        assert_eq!(is_in(r#"{"id":3}"#, "{\"id\":1\n{\"id\":2}"), None);
    }

    #[test]
    fn what_would_match_everything_is_refused() {
        for text in [
            "",
            "7",
            "{}",
            r#"{"payload":{}}"#,
            r#"{"payload":7}"#,
            r#"{"payload":{"a":1},"id":1}"#,
            r#"{"payload":{"a":{}}}"#,
        ] {
            assert!(Contained::parse(text).is_err(), "{text}");
        }
        assert_eq!(Contained::parse(r#"{"payload":{"b":[1],"a":0}}"#).unwrap().members(), ["a", "b"]);
    }
}
