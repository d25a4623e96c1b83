//! What roles that read may do beyond reading.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, ok};
use crate::storage::embedded::{GUEST, READER};
use crate::storage::readers::{Beyond, beyond, list};
use crate::storage::{Location, StorageError};

/// Looks at the service's reader, and at every login that people got.
pub async fn finding(client: &Client, location: &Location) -> Result<Finding, StorageError> {
    let people: Vec<String> = list(client).await?.into_iter().map(|reader| reader.name).collect();
    let configured =
        location.reader().server.get_user().filter(|user| location.owner().server.get_user() != Some(user));
    let mut roles: Vec<&str> = vec![READER, GUEST];
    roles.extend(configured);
    roles.extend(people.iter().map(String::as_str));
    let found = beyond(client, &roles).await?;
    if found.is_empty() {
        return Ok(ok("readers", format!("read and no more; {} logins of people", people.len())));
    }
    let say = |beyond: &Beyond| format!("{} ({})", beyond.what, beyond.roles);
    Ok(bad(
        "readers",
        FindingState::Warning,
        found.iter().map(say).collect::<Vec<_>>().join("; "),
        format!(
            "nothing of Tidegate waits for it, but it takes room and time of the server; as a superuser, or who owns the \
             database:\n{}",
            found.iter().map(|beyond| format!("{};", beyond.mend)).collect::<Vec<_>>().join("\n")
        ),
    ))
}
