//! The manifests: one row for what a transaction writes for one (tenant, stream), for whoever reads batches in order; and
//! for the jobs that derive something from rows, which minutes of a tenant it touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Statement;

use super::plan::Manifest;

/// One row for each element of the arrays. Arrays of arrays must be rectangular in PostgreSQL, so that hours and minutes
/// travel as text.
pub const INSERT: &str = "WITH noted AS ( \
         INSERT INTO touched (kind, tenant_id, minutes) \
         SELECT $8, t.tenant_id, string_to_array(t.minutes, ',')::integer[] \
         FROM unnest($9::text[], $10::text[]) AS t (tenant_id, minutes)) \
     INSERT INTO ingest_batches \
     (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours) \
     SELECT $8, m.tenant_id, m.batch_id, m.stream, m.event_count, m.min_timestamp, m.max_timestamp, \
            ARRAY(SELECT to_timestamp(hour::double precision) FROM unnest(string_to_array(m.hours, ',')) AS hour) \
     FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::text[]) \
     AS m (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, hours)";

/// Writes the manifests of rows of one kind; nothing is sent when there are none.
pub async fn insert(
    client: &Object,
    statement: &Statement,
    kind: &str,
    manifests: &[Manifest],
) -> Result<(), tokio_postgres::Error> {
    // Of a batch whose rows were all there already (rowstore profile) there is nothing to say.
    let manifests: Vec<&Manifest> = manifests.iter().filter(|manifest| manifest.event_count > 0).collect();
    if manifests.is_empty() {
        return Ok(());
    }
    let time = |us: i64| Timestamp::from_microsecond(us).expect("validation keeps timestamps in a window around now");
    let tenants: Vec<&str> = manifests.iter().map(|manifest| &*manifest.tenant_id).collect();
    let ids: Vec<i64> = manifests.iter().map(|manifest| manifest.batch_id).collect();
    let streams: Vec<&str> = manifests.iter().map(|manifest| manifest.stream.as_str()).collect();
    let counts: Vec<i32> = manifests.iter().map(|manifest| manifest.event_count).collect();
    let oldest: Vec<Timestamp> = manifests.iter().map(|manifest| time(manifest.bounds_us.0)).collect();
    let newest: Vec<Timestamp> = manifests.iter().map(|manifest| time(manifest.bounds_us.1)).collect();
    let mut hours: Vec<String> = Vec::with_capacity(manifests.len());
    let mut touched: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for manifest in manifests {
        let minutes = manifest.minutes();
        let of_hours: BTreeSet<i64> = minutes.iter().map(|minute| i64::from(minute.div_euclid(60)) * 3600).collect();
        hours.push(listed(&of_hours));
        touched.entry(&manifest.tenant_id).or_default().extend(minutes);
    }
    let (touching, minutes): (Vec<&str>, Vec<String>) =
        touched.into_iter().map(|(tenant_id, minutes)| (tenant_id, listed(&minutes))).unzip();
    client
        .execute(statement, &[&tenants, &ids, &streams, &counts, &oldest, &newest, &hours, &kind, &touching, &minutes])
        .await?;
    Ok(())
}

fn listed<T: Display>(numbers: &BTreeSet<T>) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
