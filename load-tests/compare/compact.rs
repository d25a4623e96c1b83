//! Compacting: what the product's policy does to a chunk that is old enough, done to all of them now; and what the same rows
//! would take without it.

use std::time::Instant;
use tidegate::model::Kind;

use super::common::{Result, as_f64};
use super::figures::Figures;
use super::target::Target;

/// Compacts every chunk, each in a transaction of its own as the product does.
pub async fn compact(target: &Target, kind: Kind, figures: &mut Figures) -> Result<()> {
    let (table, owner) = (kind.table(), &target.owner);
    let chunks = format!("SELECT public.show_chunks('tidegate.{table}')::text");
    let chunks = owner.query(&chunks, &[]).await?;
    let (started, mut slowest_s) = (Instant::now(), 0.0_f64);
    for chunk in &chunks {
        let began = Instant::now();
        let sql = "SELECT public.compress_chunk($1::text::regclass, if_not_compressed => true, recompress => true)";
        owner.execute(sql, &[&chunk.get::<_, &str>(0)]).await?;
        slowest_s = slowest_s.max(began.elapsed().as_secs_f64());
    }
    let (count, all_s) = (as_f64(chunks.len() as u64), started.elapsed().as_secs_f64());
    let name = format!("compacting {table}");
    figures.add_all(&name, &[("chunks", count), ("s", all_s), ("s, the slowest", slowest_s)]);
    Ok(())
}

/// Bytes an event of the newest days would take as PostgreSQL keeps rows: in a plain table with the b-trees of the other
/// engine, which is removed again.
pub async fn plain_bytes(target: &Target) -> Result<f64> {
    target.owner.batch_execute(include_str!("compact/plain.sql")).await?;
    let sql =
        "SELECT pg_total_relation_size('plain_events')::double precision / greatest(count(*), 1) FROM plain_events";
    let bytes = target.owner.query_one(sql, &[]).await?.get(0);
    target.owner.batch_execute("DROP TABLE plain_events").await?;
    Ok(bytes)
}
