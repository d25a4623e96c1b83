//! Whether the connections of each path are encrypted, and whether the server is known to be the right one.

use std::sync::Arc;

use super::finding::{Finding, FindingState, bad, ok};
use crate::config::{ConnectionUrl, RootCert, SslMode};
use crate::storage::{Location, StorageError, connect_to};

const ADVICE: &str = "use sslmode=verify-full and sslrootcert in the connection URLs, and switch TLS on in the server: \
                      anyone on the network path can read and change what goes over such a connection";

pub async fn finding(location: &Location) -> Result<Finding, StorageError> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    let mut open = false;
    for (path, url) in [("owner", location.owner()), ("writer", location.writer()), ("reader", location.reader())] {
        let (what, exposed) = path_of(url).await.map_err(|error| error.doing(&format!("the {path}'s connection")))?;
        open |= exposed;
        match found.iter_mut().find(|(known, _)| *known == what) {
            Some((_, paths)) => paths.push(path),
            None => found.push((what, vec![path])),
        }
    }
    let told: Vec<String> = found.into_iter().map(|(what, paths)| format!("{}: {what}", paths.join(", "))).collect();
    let told = told.join("; ");
    Ok(if open { bad("encryption", FindingState::Warning, told, ADVICE) } else { ok("encryption", told) })
}

/// How a path's connections are protected, and whether they are not while they leave this machine.
async fn path_of(url: &ConnectionUrl) -> Result<(String, bool), StorageError> {
    let (client, _task) = connect_to(url, Arc::default()).await?;
    let row = client.query_one(include_str!("../../../sql/queries/doctor_encryption.sql"), &[]).await?;
    let (encrypted, version, cipher, stays): (bool, &str, &str, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    if !encrypted {
        let what = if url.is_local() { "Unix socket" } else { "not encrypted" };
        return Ok((what.into(), !stays));
    }
    let verified = match (&url.tls.root, url.tls.mode) {
        (RootCert::Unset, _) => "the server is not verified",
        (_, SslMode::VerifyFull) => "authority and host name are verified",
        _ => "the authority is verified, the host name is not",
    };
    Ok((format!("{version}, {cipher}; {verified}"), false))
}
