//! Values that are compared whole, each part of which is a look: with a value of the schema (`const`, `enum`), and the elements of
//! an array with each other (`uniqueItems`).

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use jsonschema::json::cmp;
use serde_json::Value;

use super::looks::{look, look_at_number, look_at_text};

/// Whether they are equal, as JSON Schema has it: numbers by their value.
pub fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => {
            one.len() == other.len() && {
                look_at_text(one);
                one == other
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            look_at_number(one.as_str());
            look_at_number(other.as_str());
            cmp::equal_numbers(one, other)
        }
        (Value::Array(one), Value::Array(other)) => {
            look();
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            look();
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    look_at_text(name);
                    other.get(name).is_some_and(|other| equal(value, other))
                })
        }
        (one, other) => {
            look();
            one == other
        }
    }
}

/// Values among which others are found, however many they are.
pub struct Values<'v> {
    keys: RandomState,
    by_hash: HashMap<u64, Vec<&'v Value>>,
}

impl<'v> Values<'v> {
    pub fn of(values: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut all = Self { keys: RandomState::new(), by_hash: HashMap::new() };
        for value in values {
            let hash = hash_of(value, &all.keys);
            all.by_hash.entry(hash).or_default().push(value);
        }
        all
    }

    pub fn has(&self, value: &Value) -> bool {
        self.by_hash.get(&hash_of(value, &self.keys)).is_some_and(|alike| alike.iter().any(|other| equal(value, other)))
    }
}

fn hash_of(value: &Value, keys: &RandomState) -> u64 {
    let mut hasher = keys.build_hasher();
    hash(value, &mut hasher);
    hasher.finish()
}

/// Whether no two elements are equal. They are told apart by hashes that nobody can foresee, equal numbers having equal ones however
/// they are written and however near others are: the time grows with the array alone.
pub fn are_unique(elements: &[impl Borrow<Value>]) -> bool {
    let keys = RandomState::new();
    let mut hashes: Vec<(u64, usize)> =
        elements.iter().enumerate().map(|(at, element)| (hash_of(element.borrow(), &keys), at)).collect();
    hashes.sort_unstable();
    let mut runs = hashes.chunk_by(|one, other| one.0 == other.0);
    !runs.any(|run| {
        let pairs = run.iter().enumerate().flat_map(|(n, one)| run[n + 1..].iter().map(move |other| (one.1, other.1)));
        pairs.into_iter().any(|(one, other)| equal(elements[one].borrow(), elements[other].borrow()))
    })
}

/// Equal values alike; it goes as deep as a payload may be.
fn hash(value: &Value, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => look(),
        Value::Bool(value) => {
            look();
            value.hash(hasher);
        }
        Value::Number(number) => {
            look_at_text(number.as_str());
            hash_number(number.as_str(), hasher);
        }
        Value::String(text) => {
            look_at_text(text);
            text.hash(hasher);
        }
        Value::Array(elements) => {
            look();
            elements.len().hash(hasher);
            elements.iter().for_each(|element| hash(element, hasher));
        }
        Value::Object(members) => {
            look();
            members.len().hash(hasher);
            // In the order of their names, as the map has them.
            for (name, value) in members {
                look_at_text(name);
                name.hash(hasher);
                hash(value, hasher);
            }
        }
    }
}

/// A number's value: its digits from the first to the last that is not 0, and the power of ten that they are in front of.
fn hash_number(text: &str, hasher: &mut impl Hasher) {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let digits = mantissa.trim_start_matches('-');
    let Some(first) = digits.find(|digit: char| matches!(digit, '1'..='9')) else {
        return 0u8.hash(hasher);
    };
    let last = digits.rfind(|digit: char| matches!(digit, '1'..='9')).unwrap_or(first);
    let point = digits.find('.').unwrap_or(digits.len());
    // Positions are of bytes, and so of digits, but for the point.
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let power = if first < point { size(point - first) } else { 1 - size(first - point) };
    text.starts_with('-').hash(hasher);
    exponent.saturating_add(power).hash(hasher);
    digits[first..=last].bytes().filter(|digit| *digit != b'.').for_each(|digit| hasher.write_u8(digit));
}

/// As far as 64 bits reach: beyond it numbers are equal whose digits are.
fn exponent(text: &str) -> i64 {
    let (is_negative, digits) = (text.starts_with('-'), text.trim_start_matches(['+', '-']));
    let far = if digits.is_empty() { 0 } else { i64::MAX };
    let size = digits.parse().unwrap_or(far);
    if is_negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::JSON_DEPTH_MAX;
    use crate::payload::value;

    fn elements(text: &str) -> Vec<Value> {
        match value(text, JSON_DEPTH_MAX) {
            Ok(Value::Array(elements)) => elements,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// With others before them, so that there are many.
    fn unique(text: &str) -> bool {
        let many: Vec<String> = (0..20).map(|n| format!("\"s{n}\"")).collect();
        let (few, many) = (elements(text), elements(&format!("[{},{}", many.join(","), &text[1..])));
        assert_eq!(are_unique(&few), are_unique(&many), "{text}");
        are_unique(&few)
    }

    #[test]
    fn equal_elements_are_found_however_they_are_written() {
        for text in [
            "[1,1.0]",
            "[1,1e0]",
            "[100,1e2]",
            "[0.01,1e-2]",
            "[0,-0.0]",
            "[0,0e400]",
            "[12.30,123E-1]",
            "[0.10,1.0e-1]",
            "[1e400,10e399]",
            "[-1e400,-0.1e401]",
            "[1e-400,0.1e-399]",
            "[1e99999999999999999999,10e99999999999999999999]",
            r#"[{"a":1,"b":2},{"b":2.0,"a":1}]"#,
            r#"["a","\u0061"]"#,
            "[[1,2],[1,2.0]]",
            "[null,null]",
            "[9007199254740993,9007199254740993.0]",
        ] {
            assert!(!unique(text), "{text}");
        }
        for text in [
            "[1,true]",
            "[0,false]",
            "[1,-1]",
            "[1,\"1\"]",
            "[1,10]",
            "[0.1,0.01]",
            "[9007199254740993,9007199254740992]",
            "[1e400,1e401]",
            "[1e400,-1e400]",
            r#"[{"a":1},{"a":2}]"#,
            "[[1],[[1]]]",
            "[[],{}]",
            "[null,false,0,\"\"]",
            "[0.30000000000000001,0.3]",
            r#"["é","e\u0301"]"#,
            r#"[{"a":[1,2]},{"a":[2,1]}]"#,
            "[12,1.2,120]",
        ] {
            assert!(unique(text), "{text}");
        }
    }
}
