//! Which series a read is about. What is asked of dimensions is looked up in the catalog first, so that buckets and samples
//! are found by the ids of their sets of dimensions.

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::ReadError;
use super::payload::readings;
use super::reads::{FoundRows, Reads};
use super::sql::Sql;
use crate::limits::DIMENSION_SETS_MAX;

/// Which series: any of the values, where there are some.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    pub asset_ids: Vec<String>,
    pub metric_types: Vec<String>,
    pub metric_names: Vec<String>,
    /// Of their dimensions, as the catalog has it: these and no others.
    pub series_ids: Vec<Uuid>,
    pub dimensions: DimensionsFilter,
}

#[derive(Debug, Clone, Default)]
pub struct DimensionsFilter {
    /// They contain this JSON object, as text.
    pub contained: Option<String>,
    /// What is asked of the dimension of a name: one of the patterns that are not negated, where there are some, and none of
    /// those that are.
    pub named: Vec<(String, Vec<Pattern>)>,
}

/// What a dimension is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    negated: bool,
    /// Whether it may go on behind the text.
    prefix: bool,
    text: String,
}

impl Pattern {
    /// `!` in front negates, `*` at the end stands for any text; behind `\` both, and `\` itself, are what they are.
    pub fn parse(text: &str) -> Self {
        let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let mut pattern = Self { negated, prefix: false, text: String::with_capacity(rest.len()) };
        let mut chars = rest.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' => pattern.text.push(chars.next_if(|next| "\\!*".contains(*next)).unwrap_or('\\')),
                '*' if chars.peek().is_none() => pattern.prefix = true,
                other => pattern.text.push(other),
            }
        }
        pattern
    }

    /// Adds whether the dimension `name` fits, but for its negation; null or false where there is no such dimension.
    fn push(&self, sql: &mut Sql, name: &str) {
        if self.prefix {
            sql.push("starts_with(dimensions ->> ").bind(name.to_owned()).push(", ").bind(self.text.clone()).push(")");
            return;
        }
        // As containment, which the catalog's index answers.
        for (index, value) in readings(&self.text).enumerate() {
            sql.push(if index == 0 { "(" } else { " OR " });
            sql.push("dimensions @> ").bind(object(name, &value)).push("::jsonb");
        }
        sql.push(")");
    }
}

/// An object of one member, whose value is JSON.
fn object(name: &str, value: &str) -> String {
    format!("{{{}:{value}}}", serde_json::to_string(name).expect("text is JSON"))
}

impl DimensionsFilter {
    fn is_empty(&self) -> bool {
        self.contained.is_none() && self.named.is_empty()
    }

    fn push(&self, sql: &mut Sql) {
        if let Some(object) = &self.contained {
            sql.push(" AND dimensions @> ").bind(object.clone()).push("::jsonb");
        }
        for (name, patterns) in &self.named {
            let mut wanted = patterns.iter().filter(|pattern| !pattern.negated);
            if let Some(first) = wanted.next() {
                sql.push(" AND (");
                first.push(sql, name);
                for other in wanted {
                    sql.push(" OR ");
                    other.push(sql, name);
                }
                sql.push(")");
            }
            for unwanted in patterns.iter().filter(|pattern| pattern.negated) {
                sql.push(" AND NOT coalesce(");
                unwanted.push(sql, name);
                sql.push(", false)");
            }
        }
    }
}

impl SeriesFilter {
    /// Adds the conditions of rows of the catalog.
    pub(super) fn push(&self, sql: &mut Sql) {
        self.push_names(sql);
        self.dimensions.push(sql);
    }

    /// Adds the conditions of rows that have no more of their dimensions than their set's id.
    pub(super) fn push_with(&self, sql: &mut Sql, sets: Option<&Sets>) {
        self.push_names(sql);
        if let Some(sets) = sets.filter(|_| !self.dimensions.is_empty()) {
            sql.push(" AND series_id = ANY (").bind(sets.ids.clone()).push(")");
        }
    }

    fn push_names(&self, sql: &mut Sql) {
        sql.push_any_of("asset_id", &self.asset_ids);
        sql.push_any_of("metric_type", &self.metric_types);
        sql.push_any_of("metric_name", &self.metric_names);
        sql.push_any_of("series_id", &self.series_ids);
    }
}

/// The sets of dimensions that a filter finds, each with the values of those that were asked for.
pub(super) struct Sets {
    /// Ascending.
    pub ids: Vec<Uuid>,
    /// As JSON; None: the set has no such dimension, or it is null.
    pub values: Vec<Vec<Option<String>>>,
}

impl Reads {
    /// The sets of the series that a filter finds, with their values of the dimensions `names`; None: nothing of dimensions is
    /// asked.
    pub(super) async fn sets(
        &self,
        tenant_id: &str,
        filter: &SeriesFilter,
        names: &[&str],
    ) -> Result<Option<Sets>, ReadError> {
        if filter.dimensions.is_empty() && names.is_empty() {
            return Ok(None);
        }
        let mut sql = Sql::new("SELECT DISTINCT ON (series_id) series_id");
        for name in names {
            sql.push(", nullif(dimensions -> ").bind((*name).to_owned()).push(", 'null')::text");
        }
        sql.push_of_tenant(" FROM metric_series", tenant_id);
        filter.push(&mut sql);
        sql.push(" ORDER BY series_id").push_limit(DIMENSION_SETS_MAX + 1);
        let FoundRows { rows, cut } = self.rows(&sql).await?;
        if cut || rows.len() > DIMENSION_SETS_MAX {
            return Err(ReadError::Unbounded(format!(
                "more than {DIMENSION_SETS_MAX} sets of dimensions fit; ask for fewer metric names or assets, or for more of \
                 the dimensions (`dimensions`, `dim.NAME`), or group by asset_id, metric_name or metric_type alone"
            )));
        }
        let values = |row: &Row| (1..=names.len()).map(|column| Ok(row.try_get(column)?)).collect();
        Ok(Some(Sets {
            ids: rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_, ReadError>>()?,
            values: rows.iter().map(values).collect::<Result<_, ReadError>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(negated: bool, prefix: bool, text: &str) -> Pattern {
        Pattern { negated, prefix, text: text.to_owned() }
    }

    #[test]
    fn patterns_have_a_spelling_for_every_text() {
        for (written, parsed) in [
            ("eu", pattern(false, false, "eu")),
            ("!eu", pattern(true, false, "eu")),
            ("eu*", pattern(false, true, "eu")),
            ("!eu-*", pattern(true, true, "eu-")),
            ("*", pattern(false, true, "")),
            ("!*", pattern(true, true, "")),
            ("!", pattern(true, false, "")),
            ("\\!eu", pattern(false, false, "!eu")),
            ("!!eu", pattern(true, false, "!eu")),
            ("eu\\*", pattern(false, false, "eu*")),
            ("eu\\**", pattern(false, true, "eu*")),
            ("a*b", pattern(false, false, "a*b")),
            ("**", pattern(false, true, "*")),
            ("C:\\temp", pattern(false, false, "C:\\temp")),
            ("C:\\\\*", pattern(false, true, "C:\\")),
            ("\\", pattern(false, false, "\\")),
        ] {
            assert_eq!(Pattern::parse(written), parsed, "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_itself(text in "[!*\\\\a-z ]{0,12}") {
            let mut escaped = String::new();
            for char in text.chars() {
                if "\\!*".contains(char) {
                    escaped.push('\\');
                }
                escaped.push(char);
            }
            proptest::prop_assert_eq!(Pattern::parse(&escaped), pattern(false, false, &text));
            proptest::prop_assert_eq!(Pattern::parse(&format!("!{escaped}*")), pattern(true, true, &text));
        }
    }

    #[test]
    fn a_value_is_looked_for_as_all_that_is_written_so() {
        let mut sql = Sql::new("");
        Pattern::parse("200").push(&mut sql, "a\"b");
        assert_eq!(sql.text, "(dimensions @> $1::jsonb OR dimensions @> $2::jsonb)");
        let shown = format!("{:?}", sql.parameters());
        assert!(shown.contains(r#"{\"a\\\"b\":\"200\"}"#) && shown.contains(r#"{\"a\\\"b\":200}"#), "{shown}");
    }
}
