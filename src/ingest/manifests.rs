//! The manifests: one row for what a transaction writes for one (tenant, stream), of events in the sequencer's queue as well;
//! and for the jobs that derive something from rows, which minutes of a tenant it touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Statement;

use super::plan::Manifest;
use crate::projections::ALL;

pub const INSERT: &str = include_str!("../../sql/queries/manifests_insert.sql");

/// Writes the manifests of rows of one kind; nothing is sent when there are none.
pub async fn insert(
    client: &Object,
    statement: &Statement,
    kind: &str,
    manifests: &[Manifest],
) -> Result<(), tokio_postgres::Error> {
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
    let projections: Vec<i32> = manifests.iter().map(|manifest| manifest.projections).collect();
    let known = i64::try_from(ALL.len()).expect("a few");
    let spans: Vec<i32> = manifests.iter().map(|manifest| manifest.span).collect();
    let mut hours: Vec<String> = Vec::with_capacity(manifests.len());
    let mut touched: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for manifest in manifests {
        let minutes = manifest.minutes();
        let of_hours: BTreeSet<i64> = minutes.iter().map(|minute| i64::from(minute.div_euclid(60)) * 3600).collect();
        hours.push(listed(&of_hours));
        // Where all rows were there already (rowstore profile) nothing was touched.
        if manifest.event_count > 0 {
            touched.entry(&manifest.tenant_id).or_default().extend(minutes);
        }
    }
    let (touching, minutes): (Vec<&str>, Vec<String>) =
        touched.into_iter().map(|(tenant_id, minutes)| (tenant_id, listed(&minutes))).unzip();
    client
        .execute(
            statement,
            &[
                &tenants,
                &ids,
                &streams,
                &counts,
                &oldest,
                &newest,
                &hours,
                &kind,
                &touching,
                &minutes,
                &spans,
                &projections,
                &known,
            ],
        )
        .await?;
    Ok(())
}

fn listed<T: Display>(numbers: &BTreeSet<T>) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
