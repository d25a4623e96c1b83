//! The database as commands find it, with a schema that is up to date.

use serde::Serialize;
use tokio_postgres::Client;

use super::output::{Exit, finish};
use crate::app::owner_client;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::storage::{Location, StorageError, install, migrations, standing_layout};

/// Runs `work` with one connection of the owner, on a database whose schema is up to date, and prints what it returns:
/// as JSON, or through `show`.
pub async fn with_owner<T: Serialize>(
    config: &Config,
    json: bool,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, StorageError>,
    show: impl FnOnce(&T),
) -> Exit {
    finish(with_owner_result(config, work).await, json, show)
}

/// The same, for what is printed otherwise.
pub async fn with_owner_result<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    with_owner_at(config, async |client, _location| work(client).await).await
}

/// The same, for what is also done where rows are.
pub async fn with_owner_at<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut Client, &Location) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let run = async |location: &Location| {
        let mut client = owner_client(location).await?;
        up_to_date(&client, location, config).await?;
        work(&mut client, location).await
    };
    with_location(Location::find(config), run).await
}

/// Works on a database and closes it afterwards, also when a signal ends the work: a server that was started for the moment
/// would go on without its owner.
pub async fn with_location<T>(
    find: impl Future<Output = Result<Location, StorageError>>,
    work: impl AsyncFnOnce(&Location) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let signals = Signals::listen();
    let mut signals = signals.map_err(|error| StorageError::fatal(format!("no signals can be heard: {error}")))?;
    let location = find.await?;
    let result = tokio::select! {
        result = work(&location) => result,
        signal = signals.next() => Err(StorageError::fatal(format!("stopped by {signal}"))),
    };
    location.close().await?;
    result
}

/// Installs the schema on an empty database; an older schema is left to `migrate` and `serve`, since a command that lists
/// keys must not change what a running server relies on.
pub async fn up_to_date(client: &Client, location: &Location, config: &Config) -> Result<(), StorageError> {
    let Some(layout) = standing_layout(client).await? else {
        return install(&location.place(config), config).await.map(|_installed| ());
    };
    // Also beside a newer version, whose schema it does not mind.
    if migrations::standing(client, layout).await?.is_usable() {
        return Ok(());
    }
    Err(StorageError::not_ready("the database's schema is not this version's (tidegate migrate --check says how)"))
}
