//! The secret of masks: configured, or made once and kept in the folder of data.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::durable::DurableFile;

const FILE: &str = "mask.key";
const VERSION: u32 = 1;
const BYTES: usize = 32;

/// The configured one, or that of the folder, which is made where there is none.
pub fn secret(configured: Option<&str>, folder: &Path) -> io::Result<Vec<u8>> {
    if let Some(text) = configured {
        return Ok(text.as_bytes().to_vec());
    }
    let file = DurableFile::new(folder.join(FILE), "mask key", VERSION, BYTES);
    if let Some(kept) = file.load().filter(|kept| kept.len() == BYTES) {
        return Ok(kept);
    }
    let mut made = vec![0; BYTES];
    getrandom::fill(&mut made).map_err(|error| io::Error::other(error.to_string()))?;
    file.save(&made)?;
    Ok(made)
}

/// What tells two secrets apart, and tells neither.
pub fn check(secret: &[u8]) -> String {
    let digest = Sha256::new().chain_update(b"tidegate mask key check\0").chain_update(secret).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = secret(None, dir.path()).unwrap();
        assert_eq!((made.len(), secret(None, dir.path()).unwrap() == made), (BYTES, true));
        assert_eq!(secret(Some("configured elsewhere"), dir.path()).unwrap(), b"configured elsewhere");
        assert_ne!(check(&made), check(b"configured elsewhere"));
    }
}
