//! What a database must be for Tidegate to run on it, as one list: asked at start, by `migrate` and by `doctor`.
//!
//! Each need says what it is, how it stands, and the statement that mends it. Looking changes nothing. What can be made
//! independent of how a database was made is (the settings of `storage::connect`), and is no need.

mod need;
mod path;
mod place;
mod rights;
mod server;
mod session;
mod settings;

pub use need::{Need, NeedState, Severity};
pub use place::Place;

use tokio_postgres::Client;

use super::StorageError;
use crate::config::{Config, ConnectionUrl};
use place::Path;

/// All needs, how they stand now. An error: the owner's URL leads to no database that answers.
pub async fn check(place: &Place<'_>, config: &Config) -> Result<Vec<Need>, StorageError> {
    check_on(place, config).await.map(|(needs, _owner)| needs)
}

/// The same, and the owner's connection.
async fn check_on(place: &Place<'_>, config: &Config) -> Result<(Vec<Need>, Client), StorageError> {
    let (owner, pooling) = session::open(place.owner).await?;
    let mut needs = vec![path::session(Path::Owner, pooling)];
    if pooling.keeps_sessions() {
        needs.extend(server::needs(&owner).await?);
        if needs.iter().any(Need::forbids_start) {
            // What an older server, or another encoding, says of the rest would only confuse.
            return Ok((needs, owner));
        }
        needs.extend(settings::needs(&owner, place.connections_max).await?);
        needs.push(server::clock(&owner).await?);
        let rights = rights::owner(&owner).await?;
        // Who may not look into the schema cannot say what it was made as.
        if !rights.forbids_start() {
            needs.push(server::timescaledb(&owner, config).await?);
            needs.extend(server::lz4(&owner, config).await?);
        }
        needs.push(rights);
    }
    needs.extend(path::others(place, &owner, pooling).await?);
    Ok((needs, owner))
}

/// Fails, naming all of them, when needs are unmet without which nothing works.
pub async fn require(place: &Place<'_>, config: &Config) -> Result<Vec<Need>, StorageError> {
    require_on(place, config).await.map(|(needs, _owner)| needs)
}

/// The same, and the owner's connection.
pub(super) async fn require_on(place: &Place<'_>, config: &Config) -> Result<(Vec<Need>, Client), StorageError> {
    let (needs, owner) = check_on(place, config).await?;
    refusal(&needs).map_or(Ok((needs, owner)), Err)
}

/// Fails where a server or a database can never be one of Tidegate's, before anything is put into it.
pub async fn require_server(client: &Client) -> Result<(), StorageError> {
    refusal(&server::needs(client).await?).map_or(Ok(()), Err)
}

/// Logs what is unmet and does not forbid a start.
pub fn warn(needs: &[Need]) {
    for need in needs.iter().filter(|need| need.state == NeedState::Unmet && !need.forbids_start()) {
        tracing::warn!(need = need.name, found = need.found, mend = need.mend, "the database is not as it should be");
    }
}

/// A connection of the owner's, if it is a session.
pub async fn owner_session(owner: &ConnectionUrl) -> Result<Client, StorageError> {
    let (client, pooling) = session::open(owner).await?;
    refusal(&[path::session(Path::Owner, pooling)]).map_or(Ok(client), Err)
}

/// Whether something could not be said because the schema is not there yet.
pub(super) fn wait_for_the_schema(needs: &[Need]) -> bool {
    needs.iter().any(|need| need.severity == Severity::Must && need.state == NeedState::Unknown)
}

/// What to say when nothing can be started on a database that stands so.
pub fn refusal(needs: &[Need]) -> Option<StorageError> {
    let unmet: Vec<&Need> = needs.iter().filter(|need| need.forbids_start()).collect();
    let said: Vec<String> = unmet.iter().map(ToString::to_string).collect();
    let said = format!("the database is not what Tidegate needs: {}", said.join("\n  "));
    let passes = unmet.iter().all(|need| need.severity == Severity::Passes);
    (!unmet.is_empty()).then(|| if passes { StorageError::retryable(said) } else { StorageError::not_ready(said) })
}
