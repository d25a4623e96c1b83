//! The text of a query and its parameters, put together piece by piece.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::windows::Window;

/// A value that can be bound, with its type in the database.
pub trait Parameter: ToSql + Clone + Sync + Send + 'static {
    const TYPE: Type;
}

macro_rules! parameters {
    ($($rust:ty: $name:ident),+) => {
        $(impl Parameter for $rust {
            const TYPE: Type = Type::$name;
        })+
    };
}

parameters!(String: TEXT, Vec<String>: TEXT_ARRAY, Uuid: UUID, Vec<Uuid>: UUID_ARRAY, Vec<i32>: INT4_ARRAY);
parameters!(Date: DATE);
parameters!(Timestamp: TIMESTAMPTZ, i32: INT4, i64: INT8, Option<i64>: INT8, Vec<i64>: INT8_ARRAY, f64: FLOAT8);
parameters!(Vec<f32>: FLOAT4_ARRAY);

#[derive(Clone)]
pub struct Sql {
    pub text: String,
    parameters: Vec<(Arc<dyn ToSql + Sync + Send>, Type)>,
    /// Prepared once in a session, whose plan may serve all later values. Only for texts of which there are few.
    pub keeps_plan: bool,
}

impl Sql {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), parameters: Vec::new(), keeps_plan: false }
    }

    /// The same parameters under another text.
    pub fn with_text(&self, text: String) -> Self {
        Self { text, keeps_plan: false, ..self.clone() }
    }

    /// `select` of the rows of a tenant; more conditions may follow.
    pub fn of_tenant(select: &str, tenant_id: &str) -> Self {
        let mut sql = Self::new("");
        sql.push_of_tenant(select, tenant_id);
        sql
    }

    pub fn push_of_tenant(&mut self, select: &str, tenant_id: &str) -> &mut Self {
        self.push(select).push(" WHERE tenant_id = ").bind(tenant_id.to_owned())
    }

    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds the next parameter, which the text names already.
    pub fn value<P: Parameter>(&mut self, value: P) -> &mut Self {
        self.parameters.push((Arc::new(value), P::TYPE));
        self
    }

    /// Adds a parameter: `$n` in the text, the value bound.
    pub fn bind(&mut self, value: impl Parameter) -> &mut Self {
        let name = self.parameter(value);
        self.push(&name)
    }

    /// Adds a parameter that the text is yet to name: `$n`.
    pub fn parameter(&mut self, value: impl Parameter) -> String {
        format!("${}", self.value(value).parameters.len())
    }

    /// The parameters with their types: one round trip, and a plan for these very values, which is what excludes
    /// chunks.
    pub fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, r#type)| (value.as_ref() as &(dyn ToSql + Sync), r#type.clone())).collect()
    }

    /// Adds the condition that a column has one of these values; none of them: any.
    pub fn push_any_of<P: Parameter>(&mut self, column: &str, values: &[P])
    where
        Vec<P>: Parameter,
    {
        match values {
            [] => self,
            // One value as an equality: the columnstore's segment and bloom look-ups want it that way.
            [one] => self.push(&format!(" AND {column} = ")).bind(one.clone()),
            many => self.push(&format!(" AND {column} = ANY (")).bind(many.to_vec()).push(")"),
        };
    }

    /// Adds `column >= ... AND column < ...`.
    pub fn push_within(&mut self, column: &str, window: &Window) {
        for (sign, bound) in [(">=", window.from), ("<", window.to)] {
            if let Some(at) = bound {
                self.push(&format!(" AND {column} {sign} ")).bind(at);
            }
        }
    }

    /// Adds a series' names and the id of its dimensions, as a row to compare with.
    pub fn push_series(&mut self, names: [String; 3], series_id: Uuid) -> &mut Self {
        self.push("(");
        for name in names {
            self.bind(name).push(", ");
        }
        self.bind(series_id).push(")")
    }

    /// The same rows as a relation of its own. What orders and limits it is added outside, so that the planner looks for few
    /// rows by what they are and then sorts them, instead of going through a tenant's rows in their order until it has met
    /// enough, which few never are.
    pub fn into_few(mut self, columns: &str) -> Self {
        self.text = format!("SELECT {columns} FROM ({} OFFSET 0) few", self.text);
        self
    }

    /// Adds a query for each of `parts`, their rows together.
    pub fn push_union<T>(&mut self, parts: impl IntoIterator<Item = T>, mut query: impl FnMut(&mut Self, T)) {
        for (index, part) in parts.into_iter().enumerate() {
            self.push(if index == 0 { "" } else { " UNION ALL " });
            query(self, part);
        }
    }

    pub fn push_limit(&mut self, rows: usize) -> &mut Self {
        self.push(" LIMIT ").bind(i64::try_from(rows).unwrap_or(i64::MAX))
    }
}
