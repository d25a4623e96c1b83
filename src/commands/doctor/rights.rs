//! What roles that read may do beyond reading.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, ok};
use crate::storage::embedded::{GUEST, READER};
use crate::storage::readers::{Beyond, are_noted, beyond, beyond_their_tenant, list};
use crate::storage::{Location, StorageError, tenant_views};

/// Looks at the service's reader, and at every login that people got.
pub async fn finding(client: &Client, location: &Location) -> Result<Finding, StorageError> {
    let people: Vec<String> = list(client).await?.into_iter().map(|reader| reader.name).collect();
    let configured =
        location.reader().server.get_user().filter(|user| location.owner().server.get_user() != Some(user));
    let mut roles: Vec<&str> = vec![READER, GUEST];
    roles.extend(configured);
    roles.extend(people.iter().map(String::as_str));
    let mut found = beyond(client, &roles).await?;
    found.extend(beyond_their_tenant(client).await?);
    if found.is_empty() {
        let differing =
            if are_noted(client).await? { tenant_views::names_of_differing(client).await? } else { Vec::new() };
        if !differing.is_empty() {
            return Ok(bad(
                "readers",
                FindingState::Warning,
                format!("views of tenants' readers that differ from their relations: {}", differing.join(", ")),
                "run tidegate migrate; what it cannot make again, somebody has built on: drop that first",
            ));
        }
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
