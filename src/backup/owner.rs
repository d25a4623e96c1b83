//! Whose a folder of backups is: one installation's, since retention and the archive of WAL go by what is in it.

use std::io::ErrorKind;
use std::path::Path;

use tokio_postgres::Client;

use crate::files;
use crate::storage::StorageError;

/// In the folder of backups.
const FILE: &str = "installation";
/// Of a secret that comes with the database wherever it goes, through a move, an upgrade and a restore.
const INSTALLATION: &str =
    "SELECT left(encode(sha256(convert_to('installation ' || secret, 'UTF8')), 'hex'), 16) FROM ticket_secret";

/// Refuses a folder that another installation uses; true where it is known to be this one's.
pub(super) async fn check(folder: &Path, client: &Client) -> Result<bool, StorageError> {
    found(folder, &installation(client).await?)
}

/// The same, and makes a folder that has no owner this one's.
pub(super) async fn claim(folder: &Path, client: &Client) -> Result<(), StorageError> {
    let own = installation(client).await?;
    if found(folder, &own)? {
        return Ok(());
    }
    let path = folder.join(FILE);
    files::replace(&path, format!("{own}\n").as_bytes(), None)
        .map_err(|error| StorageError::fatal(format!("cannot write {}: {error}", path.display())))
}

async fn installation(client: &Client) -> Result<String, StorageError> {
    Ok(client.query_one(INSTALLATION, &[]).await?.get(0))
}

fn found(folder: &Path, own: &str) -> Result<bool, StorageError> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == own => Ok(true),
        Ok(_) => Err(StorageError::fatal(format!(
            "the folder {} holds the backups of another Tidegate, which would be removed in the place of this one's: name a folder of \
             its own in backup.dir (--dir). If that other one is gone for good, remove {}",
            folder.display(),
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::fatal(format!("cannot read {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_folder_is_of_one_installation() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!found(dir.path(), "a").unwrap());
        std::fs::write(dir.path().join(FILE), "a\n").unwrap();
        assert!(found(dir.path(), "a").unwrap());
        let other = found(dir.path(), "b").unwrap_err().to_string();
        assert!(other.contains("another Tidegate") && other.contains("backup.dir"), "{other}");
    }
}
