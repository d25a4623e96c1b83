//! What a schema is, as text: two databases are alike when these lines are the same.

use crate::postgres::Sql;

/// Numbers that TimescaleDB gives out differ from one database to the next.
const UNNUMBERED: &str = r"'(_hypertable|_view|_chunk|_hyper)_[0-9]+(_[0-9]+_chunk)?', '\1', 'g'";

/// Relations with columns, defaults, rights and options; indexes, constraints, functions, triggers; hypertables, continuous
/// aggregates and jobs; what is applied. Without partitions and chunks, which come and go with the data.
pub fn of(sql: &Sql) -> Vec<String> {
    // So that names are written with their schema.
    sql.run("SET search_path = pg_catalog");
    let mut lines: Vec<String> = PARTS.iter().flat_map(|part| sql.column::<String>(part)).collect();
    let timescale: bool = sql.one("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')");
    if timescale {
        lines.extend(TIMESCALE.iter().flat_map(|part| sql.column::<String>(&part.replace("UNNUMBERED", UNNUMBERED))));
    }
    sql.run("SET search_path = tidegate, public");
    lines.sort();
    lines
}

const PARTS: [&str; 7] = [
    "SELECT format('schema %s %s', nspowner::regrole, nspacl::text) FROM pg_namespace WHERE nspname = 'tidegate'",
    "SELECT format('relation %s %s %s %s', c.relname, c.relkind, c.relowner::regrole, \
        (SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest(c.relacl) item)) || coalesce(c.reloptions::text, '') \
     FROM pg_class c WHERE relnamespace = 'tidegate'::regnamespace AND NOT relispartition AND relkind <> 'i'",
    "SELECT format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
        pg_get_expr(d.adbin, d.adrelid), (SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest(a.attacl) item)) \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (c.oid, a.attnum) \
     WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition AND c.relkind <> 'i' AND a.attnum > 0 \
       AND NOT a.attisdropped",
    "SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
     WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition",
    "SELECT format('constraint %s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k \
     JOIN pg_class c ON c.oid = k.conrelid WHERE c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition",
    "SELECT format('function %s %s %s %s', oid::regprocedure, proowner::regrole, \
        (SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest(proacl) item), pg_get_functiondef(oid)) \
     FROM pg_proc WHERE pronamespace = 'tidegate'::regnamespace AND prokind IN ('f', 'p')",
    "SELECT format('migration %s %s %s', version, name, checksum) FROM tidegate.schema_migrations",
];

/// A view that was read again from its text has casts and parentheses in other places.
const TIMESCALE: [&str; 4] = [
    "SELECT format('dimension %s %s %s %s %s', hypertable_name, dimension_number, column_name, time_interval, num_partitions) \
     FROM timescaledb_information.dimensions WHERE hypertable_schema = 'tidegate'",
    "SELECT format('columnstore %s %s %s %s', hypertable, segmentby, orderby, compress_interval_length) \
     FROM timescaledb_information.hypertable_compression_settings WHERE hypertable::text LIKE 'tidegate.%'",
    "SELECT regexp_replace(format('aggregate %s %s %s %s', view_name, materialized_only, compression_enabled, \
        regexp_replace(view_definition, '[()\\s]|::(double precision|bigint|numeric|interval)(\\[\\])?', '', 'g')), UNNUMBERED) FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'tidegate'",
    "SELECT format('job %s %s %s %s', j.proc_name, coalesce(a.view_name, j.hypertable_name), j.schedule_interval, \
        j.config - 'mat_hypertable_id') \
     FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.continuous_aggregates a \
       ON (a.materialization_hypertable_schema, a.materialization_hypertable_name) = (j.hypertable_schema, j.hypertable_name) \
     WHERE coalesce(a.view_schema, j.hypertable_schema) = 'tidegate'",
];

/// Asserts that both are the same, and shows what is not.
pub fn assert_alike(one: &[String], other: &[String]) {
    let missing: Vec<&String> = one.iter().filter(|line| !other.contains(line)).collect();
    let more: Vec<&String> = other.iter().filter(|line| !one.contains(line)).collect();
    assert!(missing.is_empty() && more.is_empty(), "only in the first: {missing:#?}\nonly in the second: {more:#?}");
    assert!(one.len() > 100, "{one:?}");
}
