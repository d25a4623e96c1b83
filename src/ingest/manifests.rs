//! The manifests: one row for what a transaction writes for one (tenant, stream), for whoever reads batches in order.

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Statement;

use super::plan::Manifest;

/// One row for each element of the arrays.
pub const INSERT: &str = "INSERT INTO ingest_batches \
     (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours) \
     SELECT m.tenant_id, m.batch_id, m.stream, m.event_count, m.min_timestamp, m.max_timestamp, \
            ARRAY(SELECT to_timestamp(hour::double precision) FROM unnest(string_to_array(m.hours, ',')) AS hour) \
     FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::text[]) \
     AS m (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, hours)";

/// Writes the manifests; nothing is sent when there are none.
pub async fn insert(
    client: &Object,
    statement: &Statement,
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
    // Arrays of arrays must be rectangular in PostgreSQL; the hours travel as text, in seconds.
    let hours: Vec<String> = manifests
        .iter()
        .map(|manifest| {
            manifest.hours_us.iter().map(|hour| (hour / 1_000_000).to_string()).collect::<Vec<_>>().join(",")
        })
        .collect();
    client.execute(statement, &[&tenants, &ids, &streams, &counts, &oldest, &newest, &hours]).await?;
    Ok(())
}
