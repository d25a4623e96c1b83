//! The statements for a table of a projection, made from its description.

use crate::projections::{Column, Table};

/// Where rows are: in the table that is read, or in the copy that a rebuild makes (and no other session has).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Live,
    /// A temporary table of the session.
    Shadow,
}

impl Place {
    pub fn of(self, table: &Table) -> String {
        match self {
            // As the session finds it: in a cell that is the cell's, and not that of all.
            Self::Live => table.name.to_owned(),
            Self::Shadow => format!("pg_temp.{}", table.name),
        }
    }
}

fn joined(columns: &[Column], one: impl Fn(&Column) -> String) -> String {
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A row's values as one object, without the large one.
pub fn values(table: &Table) -> String {
    let told = |column: &&Column| !["event_id", "event_stream", "event_offset", "told_by"].contains(&column.name);
    let columns: Vec<Column> = table.written().iter().filter(told).copied().collect();
    format!("jsonb_build_object({})::text", joined(&columns, |column| format!("'{0}', t.{0}", column.name)))
}

/// The rows of the tenant $1 with the keys $2, for update: key, values, who told of them.
pub fn read(table: &Table, place: Place) -> String {
    let (key, values) = (table.key.column(), values(table));
    // A join: a condition on the array would read all of it again for each row that a plan of the prepared statement scans.
    format!(
        "SELECT t.{0}::text, {values}, t.told_by::text FROM unnest($2::text[]) AS asked (key) JOIN {1} t \
         ON t.tenant_id = $1 AND t.{0} = asked.key::{2} ORDER BY t.{0} FOR UPDATE OF t",
        key.name,
        place.of(table),
        key.sql_type
    )
}

/// Writes rows of the tenant $1, an array of objects in $2; `with_large` also the large column.
pub fn write(table: &Table, place: Place, with_large: bool) -> String {
    let key = table.key.column();
    let mut columns = table.written();
    columns.extend(table.large.filter(|_| with_large));
    let names = joined(&columns, |column| column.name.to_owned());
    let typed = joined(&columns, |column| format!("{} {}", column.name, column.sql_type));
    let set = joined(&changing(table, &columns), |column| set(table, column));
    format!(
        "INSERT INTO {place} AS t (tenant_id, {key}, {names}) SELECT $1, {key}, {names} \
         FROM jsonb_to_recordset($2::text::jsonb) AS r ({key} {of_key}, {typed}) ORDER BY {key} \
         ON CONFLICT (tenant_id, {key}) DO UPDATE SET {set}",
        place = place.of(table),
        key = key.name,
        of_key = key.sql_type
    )
}

/// Columns that may get another value in a row that is there.
fn changing(table: &Table, columns: &[Column]) -> Vec<Column> {
    let is_told = |column: &Column| table.columns.iter().any(|told| told.name == column.name);
    columns.iter().filter(|column| !table.is_identity(column.name) || is_told(column)).copied().collect()
}

/// Puts what is written in the place of what is there; of the bounds of a time that others may have widened meanwhile the outer one.
fn set(table: &Table, column: &Column) -> String {
    let name = column.name;
    match table.seen {
        Some((first, _)) if first == name => format!("{name} = least(t.{name}, EXCLUDED.{name})"),
        Some((_, last)) if last == name => format!("{name} = greatest(t.{name}, EXCLUDED.{name})"),
        _ => format!("{name} = EXCLUDED.{name}"),
    }
}

/// Whether [`set`] changes something.
fn differs(table: &Table, column: &Column) -> String {
    let name = column.name;
    match table.seen {
        Some((first, _)) if first == name => format!("t.{name} > EXCLUDED.{name}"),
        Some((_, last)) if last == name => format!("t.{name} < EXCLUDED.{name}"),
        // As text: not every type of the large column can be compared.
        _ => format!("t.{name}::text IS DISTINCT FROM EXCLUDED.{name}::text"),
    }
}

/// Makes the copy, empty, in the session; rules that an operator has added to the table hold for it as well.
pub fn make_shadow(table: &Table) -> String {
    format!(
        "CREATE TEMP TABLE {0} (LIKE tidegate.{0} INCLUDING DEFAULTS INCLUDING CONSTRAINTS); \
         ALTER TABLE pg_temp.{0} ADD PRIMARY KEY (tenant_id, {1})",
        table.name,
        table.key.column().name
    )
}

/// Deletes what is not in the copy; `schema` has the rows that it is of.
pub fn delete_others(schema: &str, table: &Table) -> String {
    format!(
        "DELETE FROM {schema}.{0} t WHERE NOT EXISTS \
         (SELECT FROM pg_temp.{0} s WHERE s.tenant_id = t.tenant_id AND s.{1} = t.{1})",
        table.name,
        table.key.column().name
    )
}

/// Writes what is in the copy and not the same in the table.
pub fn copy_over(schema: &str, table: &Table) -> String {
    let mut columns = table.written();
    columns.extend(table.large);
    let names = joined(&columns, |column| column.name.to_owned());
    let changing = changing(table, &columns);
    let set = joined(&changing, |column| set(table, column));
    let differs = changing.iter().map(|column| differs(table, column)).collect::<Vec<_>>().join(" OR ");
    format!(
        "INSERT INTO {schema}.{table} AS t (tenant_id, {key}, {names}) SELECT tenant_id, {key}, {names} FROM pg_temp.{table} \
         ON CONFLICT (tenant_id, {key}) DO UPDATE SET {set} WHERE {differs}",
        table = table.name,
        key = table.key.column().name
    )
}
