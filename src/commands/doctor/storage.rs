//! How what is stored does: compression, growth, bloat, indexes that nobody reads.

use tokio_postgres::Client;

use super::disk::gib;
use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::lifecycle::LifecycleStatus;
use crate::storage::StorageError;

/// What seed ADR-002 expects of compression.
const RATIO_EXPECTED: f64 = 4.0;
/// Days until the disk is full below which to warn.
const DAYS_LEFT_MIN: f64 = 30.0;
/// An index that is not read is worth a word from this size on.
const INDEX_BYTES_MIN: i64 = 64 << 20;
/// And only when there was time to read it.
const INDEX_DAYS_MIN: f64 = 7.0;

/// Segments of a chunk from which shorter chunks are due: a read of a window of time looks at the bounds of each of its tenant's,
/// 0.05 us (docs/PERFORMANCE.md), so that these take 5 ms, half of what the newest hundred events may take.
const SEGMENTS_MAX: f64 = 100_000.0;

pub async fn findings(client: &Client, status: &LifecycleStatus) -> Result<Vec<Finding>, StorageError> {
    let mut findings = compression(status);
    findings.push(growth(status));
    findings.push(bloat(client).await?);
    findings.push(indexes(client).await?);
    Ok(findings)
}

fn compression(status: &LifecycleStatus) -> Vec<Finding> {
    let finding = |relation: &str, ratio: f64| {
        expect(
            "compression",
            ratio >= RATIO_EXPECTED,
            format!("{relation}: {ratio:.1} to 1, {RATIO_EXPECTED:.0} to 1 is usual"),
            "payloads that differ in every row, or many organizations with few rows each, compress poorly; if closed chunks \
             wait to be put in order, see `chunks` below",
        )
    };
    let ratios = status.relations.iter().filter_map(|found| Some((found.relation, found.compression_ratio?)));
    ratios.map(|(relation, ratio)| finding(relation, ratio)).collect()
}

/// Whether reads of a chunk look through too many segments; of layouts with hypertables.
pub async fn segments(client: &Client) -> Result<Finding, StorageError> {
    let row = client.query_opt(include_str!("../../../sql/queries/doctor_segments.sql"), &[]).await?;
    let Some(row) = row else { return Ok(ok("segments", "not counted yet")) };
    let (chunk, segments): (&str, f64) = (row.get(0), row.get(1));
    Ok(expect(
        "segments",
        segments <= SEGMENTS_MAX,
        format!("{segments:.0} at most, in {chunk}; up to {SEGMENTS_MAX:.0} are no burden to reads"),
        "set a shorter chunk_interval: new chunks take it, and each read looks through fewer segments. Requests with more \
         rows of one organization make fewer of them as well",
    ))
}

fn growth(status: &LifecycleStatus) -> Finding {
    let Some(growth) = &status.growth else {
        return ok("growth", "not known yet: the lifecycle job notes sizes once a day");
    };
    let now = format!("{:.1} GiB", gib(growth.bytes.unsigned_abs()));
    let Some(per_day) = growth.bytes_per_day else {
        return ok("growth", format!("{now}; how fast it grows is known tomorrow"));
    };
    let mut found = format!("{now}, {:+.2} GiB a day over {:.0} days", per_day / GIB, growth.days.unwrap_or_default());
    if let Some(most) = growth.mostly.as_ref().filter(|_| per_day > 0.0) {
        found.push_str(&format!(", mostly {most}"));
    }
    let Some(left) = growth.disk_full_in_days else { return ok("growth", found) };
    found.push_str(&format!("; at that rate the disk is full in {left:.0} days"));
    expect(
        "growth",
        left >= DAYS_LEFT_MIN,
        found,
        "make room, or keep less: retention.* for everybody, `tidegate orgs retention` for one organization",
    )
}

const GIB: f64 = 1_073_741_824.0;

async fn bloat(client: &Client) -> Result<Finding, StorageError> {
    let rows = client.query(include_str!("../../../sql/queries/doctor_bloat.sql"), &[]).await?;
    let tables: Vec<String> = rows
        .iter()
        .map(|row| {
            let (table, dead, live, vacuumed): (&str, i64, i64, Option<&str>) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            format!("{table}: {dead} dead rows beside {live}, last vacuumed {}", vacuumed.unwrap_or("never"))
        })
        .collect();
    Ok(expect(
        "bloat",
        tables.is_empty(),
        if tables.is_empty() { "none".to_owned() } else { tables.join("; ") },
        "autovacuum does not keep up, or an old transaction holds it back: look for one (SELECT pid, xact_start, query FROM \
         pg_stat_activity ORDER BY xact_start), then VACUUM (ANALYZE) the table; lower autovacuum_vacuum_cost_delay if it \
         comes back",
    ))
}

async fn indexes(client: &Client) -> Result<Finding, StorageError> {
    let rows = client.query(include_str!("../../../sql/queries/doctor_indexes.sql"), &[&INDEX_BYTES_MIN]).await?;
    let unread = rows.iter().filter(|row| row.get::<_, f64>(2) >= INDEX_DAYS_MIN);
    let unread: Vec<String> =
        unread.map(|row| format!("{} ({} MiB)", row.get::<_, &str>(0), row.get::<_, i64>(1) >> 20)).collect();
    Ok(if unread.is_empty() {
        ok("indexes", "no large one goes unread")
    } else {
        bad(
            "indexes",
            FindingState::Warning,
            format!("not read since statistics began: {}", unread.join(", ")),
            "Tidegate makes them for its own reads; if yours are others and writing is what counts, they can be dropped, and \
             are not made again",
        )
    })
}
