//! The columns of a list, once: `columns!` declares a row's struct, and what is said there is its JSON, the columns
//! of CSV in their order, the expressions of SQL, and how a row is read.

use serde::Serialize;
use tokio_postgres::Row;

use super::error::ReadError;
use crate::limits::{LISTED_VALUE_BYTES_MAX, NUMBER_DIGITS_MAX};

/// Characters of text that a stored byte becomes at most: a number of `NUMBER_DIGITS_MAX` digits takes 12 bytes, 4 of them
/// in its array's index.
const CHARS_PER_BYTE_MAX: usize = 128;
const _: () = assert!(NUMBER_DIGITS_MAX < CHARS_PER_BYTE_MAX * 12);
/// Stored bytes of a value whose text is surely within [`LISTED_VALUE_BYTES_MAX`].
const SMALL_BYTES: usize = LISTED_VALUE_BYTES_MAX / CHARS_PER_BYTE_MAX;

/// A row that is listed, as an object whose members have these names.
pub trait Columns {
    /// In the order of the columns of CSV.
    fn names() -> Vec<&'static str>;

    /// Writes the values of these columns, in their order; of a column that the row does not have, null.
    fn write(&self, cells: &mut Cells);
}

/// The values of a row as JSON, one behind the other.
#[derive(Default)]
pub struct Cells {
    json: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    /// For the next row.
    pub fn clear(&mut self) {
        self.json.clear();
        self.ends.clear();
    }

    pub fn push(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.json, value).expect("answers are made of plain values");
        self.ends.push(self.json.len());
    }

    /// By the number of its column.
    pub fn get(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.json[start..self.ends[column]]
    }
}

/// A row that is read from a relation.
pub trait StoredRow: Columns + Sized {
    const RELATION: &'static str;
    /// Each column's name and expression; None: it is no column of the relation, and filled in later.
    const SQL: &'static [(&'static str, Option<&'static str>)];

    /// By position: the select list starts with [`Self::list`].
    fn read(row: &Row) -> Result<Self, ReadError>;

    /// The select list, each expression under its column's name.
    fn list() -> String {
        let expression = |(name, sql): &(&str, Option<&str>)| {
            sql.map(|sql| if sql == *name { sql.to_owned() } else { format!("{sql} AS {name}") })
        };
        Self::SQL.iter().filter_map(expression).collect::<Vec<_>>().join(", ")
    }

    /// The same as [`Self::select`], but `large` columns are null where one of them is too large to be read with other rows;
    /// the column `large` says how many bytes they have then.
    fn select_listed(large: &[&str], more: &str) -> String {
        let small = large.iter().map(|name| is_small(name)).collect::<Vec<_>>().join(" AND ");
        let expression = |(name, sql): &(&str, Option<&str>)| {
            sql.map(|sql| match large.contains(name) {
                true => format!("CASE WHEN {small} THEN {sql} END AS {name}"),
                false => format!("{sql} AS {name}"),
            })
        };
        let list = Self::SQL.iter().filter_map(expression).collect::<Vec<_>>().join(", ");
        let bytes = |name: &&str| format!("coalesce(octet_length({name}::text), 0)");
        let bytes = large.iter().map(bytes).collect::<Vec<_>>().join(" + ");
        let bytes = format!("CASE WHEN {small} THEN 0 ELSE {bytes} END");
        format!("SELECT {list}{more}, ({bytes})::bigint AS large FROM {}", Self::RELATION)
    }

    /// `SELECT ... FROM` the relation, with `more` behind the select list.
    fn select(more: &str) -> String {
        format!("SELECT {}{more} FROM {}", Self::list(), Self::RELATION)
    }
}

/// Whether a value may be listed. What lies uncompressed in few bytes has no long text, so that nearly all are told without
/// being turned into text.
pub(super) fn is_small(value: &str) -> String {
    format!(
        "({value} IS NULL OR pg_column_compression({value}) IS NULL AND pg_column_size({value}) <= {SMALL_BYTES} \
         OR octet_length({value}::text) <= {LISTED_VALUE_BYTES_MAX})"
    )
}

/// `struct Row from "relation" { name: Type = "expression", ... }`; without an expression the column has the field's
/// name, and with `= later` the field is at its default until it is filled in. Without `from` the row is put together
/// by hand, also in other rooms.
macro_rules! columns {
    ($(#[$meta:meta])* pub struct $row:ident { $($(#[$doc:meta])* pub $name:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, serde::Serialize)]
        pub struct $row { $($(#[$doc])* pub $name: $type,)+ }

        impl $crate::query::Columns for $row {
            fn names() -> Vec<&'static str> {
                vec![$(stringify!($name)),+]
            }

            fn write(&self, cells: &mut $crate::query::Cells) {
                $(cells.push(&self.$name);)+
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $row:ident from $relation:literal { $($(#[$doc:meta])* pub $name:ident: $type:ty $(= $sql:tt)?,)+ }
    ) => {
        $crate::query::columns! { $(#[$meta])* pub struct $row { $($(#[$doc])* pub $name: $type,)+ } }

        impl $crate::query::columns::StoredRow for $row {
            const RELATION: &'static str = $relation;
            const SQL: &'static [(&'static str, Option<&'static str>)] =
                &[$((stringify!($name), $crate::query::columns::columns!(@sql $name $($sql)?))),+];

            fn read(row: &tokio_postgres::Row) -> Result<Self, $crate::query::error::ReadError> {
                let mut columns = 0..;
                Ok(Self { $($name: $crate::query::columns::columns!(@read row columns $($sql)?)),+ })
            }
        }
    };
    (@sql $name:ident) => { Some(stringify!($name)) };
    (@sql $name:ident later) => { None };
    (@sql $name:ident $sql:literal) => { Some($sql) };
    (@read $row:ident $columns:ident later) => { Default::default() };
    (@read $row:ident $columns:ident $($sql:literal)?) => { $row.try_get($columns.next().unwrap_or_default())? };
}
pub(crate) use columns;

#[cfg(test)]
mod tests {
    use super::*;

    columns! {
        pub struct Example from "examples" {
            pub id: i64,
            pub sum: f64 = "sum_value",
            pub named: Option<String> = later,
        }
    }

    #[test]
    fn a_declaration_says_it_all() {
        assert_eq!(Example::names(), ["id", "sum", "named"]);
        assert_eq!(Example::select(", n"), "SELECT id, sum_value AS sum, n FROM examples");
    }
}
