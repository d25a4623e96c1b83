//! Whether the database is the one that `serve` wrote to before.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, ok, unknown};
use crate::config::Config;
use crate::storage::{Acquaintance, StorageError, acquaintance};

const CHECK: &str = "same database";

pub async fn finding(config: &Config, client: &Client) -> Result<Finding, StorageError> {
    Ok(match acquaintance(&config.data_dir, client).await? {
        Acquaintance::New => ok(CHECK, "none was written to from this data_dir"),
        Acquaintance::Same(id) => ok(CHECK, format!("the installation {id}, as before")),
        Acquaintance::Another(why) => bad(
            CHECK,
            FindingState::Failed,
            why,
            "serve writes nothing to it: mend database_url, or say that this is the right one with `tidegate accept-database`",
        ),
        Acquaintance::Unreadable(why) => unknown(
            CHECK,
            why,
            "run doctor as the account of serve; a file that is damaged is set aside by the next start",
        ),
    })
}
