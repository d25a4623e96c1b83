//! Conditions on a value within the payload, by its path.
//!
//! A payload may be kept as json: the casts to jsonb are then of the one value, and nothing where it is jsonb already.

use super::sql::Sql;

/// Longest text that may stand for a number.
const NUMBER_CHARS_MAX: usize = 64;

/// A value at a path: names of members, or numbers of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFilter {
    pub path: Vec<String>,
    pub test: PathTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathTest {
    /// It is one of these: a text, or the number, boolean or null that is written so.
    AnyOf(Vec<String>),
    /// It is a number, and compares so to this one, which is written as JSON writes it.
    Number(Comparison, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    AtMost,
    AtLeast,
    Greater,
}

impl Comparison {
    fn operator(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }
}

impl PathFilter {
    pub(super) fn push(&self, sql: &mut Sql) {
        let payload = self.payload();
        match &self.test {
            PathTest::AnyOf(values) => {
                sql.push(&format!(" AND ({payload} #> ")).bind(self.path.clone());
                sql.push(")::jsonb = ANY (").bind(values.iter().flat_map(|value| readings(value)).collect::<Vec<_>>());
                sql.push("::jsonb[])");
            }
            PathTest::Number(comparison, number) => {
                sql.push(&format!(" AND CASE WHEN jsonb_typeof(({payload} #> ")).bind(self.path.clone());
                sql.push(&format!(")::jsonb) = 'number' THEN ({payload} #>> ")).bind(self.path.clone());
                sql.push(&format!(")::numeric {} ", comparison.operator())).bind(number.clone());
                sql.push("::numeric ELSE false END");
            }
        }
    }
}

impl PathFilter {
    /// From where the path leads. Counted from an array's end, PostgreSQL's json operator finds nothing where another array of the
    /// same depth comes before it (15.20 and 18.4, tried); jsonb's does.
    fn payload(&self) -> &'static str {
        let from_end = |name: &String| name.parse::<i64>().is_ok_and(|place| place < 0);
        if self.path.iter().any(from_end) { "payload::jsonb" } else { "payload" }
    }

    /// Whether a payload that has one of the values contains an object that can be told: a number in the path may be a
    /// member's name as well as an element's place.
    pub(super) fn is_contained(&self) -> bool {
        matches!(self.test, PathTest::AnyOf(_)) && self.path.iter().all(|name| name.parse::<i64>().is_err())
    }

    /// The same as containment, which an index of payloads finds.
    pub(super) fn push_contained(&self, sql: &mut Sql) {
        let PathTest::AnyOf(values) = &self.test else { return };
        if !self.is_contained() {
            return;
        }
        for (index, value) in values.iter().flat_map(|value| readings(value)).enumerate() {
            sql.push(if index == 0 { " AND (" } else { " OR " });
            sql.push("payload @> ").bind(self.object(&value)).push("::jsonb");
        }
        sql.push(")");
    }

    /// The object that has a value at the path.
    fn object(&self, value: &str) -> String {
        let name = |name: &String| serde_json::to_string(name).expect("text is JSON");
        let open: String = self.path.iter().map(|part| format!("{{{}:", name(part))).collect();
        format!("{open}{value}{}", "}".repeat(self.path.len()))
    }
}

/// What a value in a query may be in JSON: a text, and what else is written like that.
pub(super) fn readings(value: &str) -> impl Iterator<Item = String> {
    let text = serde_json::to_string(value).expect("text is JSON");
    let other = is_number(value) || matches!(value, "true" | "false" | "null");
    [Some(text), other.then(|| value.to_owned())].into_iter().flatten()
}

/// Whether a text is a number of JSON, and one that PostgreSQL takes.
pub fn is_number(text: &str) -> bool {
    text.len() <= NUMBER_CHARS_MAX
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        && serde_json::from_str::<f64>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_text_and_what_else_is_written_so() {
        let of = |value: &str| readings(value).collect::<Vec<_>>();
        assert_eq!(of("paid"), [r#""paid""#]);
        assert_eq!(of("5"), [r#""5""#, "5"]);
        assert_eq!(of("-1.50"), [r#""-1.50""#, "-1.50"]);
        assert_eq!(of("true"), [r#""true""#, "true"]);
        assert_eq!(of("null"), [r#""null""#, "null"]);
        for text in ["", "05", "+5", "5 ", "NaN", "0x5", "1e999", r#"a"b\"#, "1, 2"] {
            assert_eq!(of(text), [serde_json::to_string(text).expect("text")], "{text}");
        }
    }

    #[test]
    fn what_an_index_finds_is_implied() {
        let of = |path: &[&str], test: PathTest| {
            let mut sql = Sql::new("");
            let path = path.iter().map(|name| (*name).to_owned()).collect();
            let filter = PathFilter { path, test };
            filter.push_contained(&mut sql);
            assert_eq!(filter.is_contained(), !sql.text.is_empty());
            format!("{} {:?}", sql.text, sql.parameters())
        };
        let found = of(&["a", "b\""], PathTest::AnyOf(vec!["x".into(), "1".into()]));
        assert!(
            found.starts_with(" AND (payload @> $1::jsonb OR payload @> $2::jsonb OR payload @> $3::jsonb) "),
            "{found}"
        );
        let object = |value: &str| format!("{:?}", format!(r#"{{"a":{{"b\"":{value}}}}}"#));
        assert!(["\"x\"", "\"1\"", "1"].iter().all(|value| found.contains(&object(value))), "{found}");
        for path in [&["a", "0"][..], &["-1"], &["7", "b"]] {
            assert_eq!(of(path, PathTest::AnyOf(vec!["x".into()])), " []");
        }
        assert_eq!(of(&["a"], PathTest::Number(Comparison::Less, "5".into())), " []");
    }

    #[test]
    fn an_end_is_counted_from_as_jsonb_does() {
        for (place, payload) in [("-1", "(payload::jsonb #> $1)"), ("1", "(payload #> $1)"), ("-a", "(payload #> $1)")]
        {
            let mut sql = Sql::new("");
            let path = vec!["b".to_owned(), place.to_owned()];
            PathFilter { path, test: PathTest::AnyOf(vec!["x".into()]) }.push(&mut sql);
            assert!(sql.text.contains(payload), "{}", sql.text);
        }
    }

    #[test]
    fn a_condition_binds_all_that_was_given() {
        let mut sql = Sql::new("");
        let path = vec!["a'".to_owned(), "0".to_owned()];
        PathFilter { path: path.clone(), test: PathTest::AnyOf(vec!["x".into(), "1".into()]) }.push(&mut sql);
        PathFilter { path, test: PathTest::Number(Comparison::AtLeast, "5".into()) }.push(&mut sql);
        assert_eq!(
            sql.text,
            " AND (payload #> $1)::jsonb = ANY ($2::jsonb[]) AND CASE WHEN jsonb_typeof((payload #> $3)::jsonb) = 'number' \
             THEN (payload #>> $4)::numeric >= $5::numeric ELSE false END"
        );
    }
}
