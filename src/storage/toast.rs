//! How long values that TimescaleDB's own algorithms leave alone are compressed: by lz4, or by pglz where the server was built
//! without it. pglz cost 15 % of all CPU at the limit.

use tokio_postgres::GenericClient;

use super::StorageError;

/// Sets lz4 for a session whose server has it.
pub const PREFER_LZ4: &str = "SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings \
     WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals);";

/// What a server without lz4 costs, and what to do.
pub const WITHOUT_LZ4: &str = "compressing long values costs the database about 15 % more CPU at the limit; packages of \
     PostgreSQL mostly have lz4, and a build of your own gets it by --with-lz4";

/// Whether the server was built with lz4.
pub async fn has_lz4(client: &impl GenericClient) -> Result<bool, StorageError> {
    let sql = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'";
    Ok(client.query_one(sql, &[]).await?.get(0))
}
