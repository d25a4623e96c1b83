//! Secrets out of files: a key or a variable with `_file` behind its name, and systemd's credentials.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::origin::Origin;

/// Names the folder in which systemd puts a service's credentials.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The secret in a file that `by` names, without the newline at its end.
pub fn read(path: &Path, by: &Origin) -> Result<(String, Origin), ConfigError> {
    let refuse = |why: &str| ConfigError(format!("{} ({by}): {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => refuse("is not text"),
        _ => refuse(&format!("cannot be read: {error}; name a file that this account may read")),
    })?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.is_empty() {
        return Err(refuse("is empty; put the secret there"));
    }
    Ok((secret.to_owned(), Origin::Secret { file: path.to_owned(), by: Box::new(by.clone()) }))
}

/// A secret that the environment gives: in a variable, in the file that the variable with `_FILE` names, or as the
/// credential `name`; one of them at most.
pub fn of_environment(
    get: impl Fn(&str) -> Option<String>,
    variable: &str,
    name: &str,
) -> Result<Option<(String, Origin)>, ConfigError> {
    let file_variable = format!("{variable}_FILE");
    let direct = get(variable).map(|text| (text, Origin::Variable(variable.to_owned())));
    let file = get(&file_variable).map(|path| (PathBuf::from(path), Origin::Variable(file_variable)));
    let credential = get(CREDENTIALS_VARIABLE)
        .map(|folder| (Path::new(&folder).join(name), Origin::Variable(CREDENTIALS_VARIABLE.to_owned())))
        // A service has those that its unit loads, and no others.
        .filter(|(path, _)| path.symlink_metadata().is_ok());
    let mut found = direct;
    for (path, by) in [file, credential].into_iter().flatten() {
        let (secret, origin) = read(&path, &by)?;
        if let Some((_, before)) = &found {
            return Err(twice(name, before, &origin));
        }
        found = Some((secret, origin));
    }
    Ok(found)
}

/// Two places give the same secret, and neither is known to be meant.
pub fn twice(name: &str, one: &Origin, other: &Origin) -> ConfigError {
    ConfigError(format!("`{name}` is given twice, by {one} and by {other}; leave one of them"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_secret_is_one_of_variable_file_and_credential() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("elsewhere");
        std::fs::write(&file, "from file\r\n").unwrap();
        let credentials = dir.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        let (file, folder) = (file.to_str().unwrap().to_owned(), credentials.to_str().unwrap().to_owned());
        let look = |given: &[(&str, &str)]| {
            let get = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            of_environment(get, "X", "x").map(|found| found.map(|(text, _)| text)).map_err(|error| error.to_string())
        };
        assert_eq!(look(&[(CREDENTIALS_VARIABLE, &folder)]), Ok(None), "a folder without it");
        assert_eq!(look(&[("X", "plain\n")]), Ok(Some("plain\n".into())));
        assert_eq!(look(&[("X_FILE", &file), (CREDENTIALS_VARIABLE, &folder)]), Ok(Some("from file".into())));
        std::fs::write(credentials.join("x"), "from systemd\n").unwrap();
        assert_eq!(look(&[(CREDENTIALS_VARIABLE, &folder)]), Ok(Some("from systemd".into())));
        for (given, words) in [
            (&[("X", "a"), ("X_FILE", file.as_str())][..], ["variable X and", "variable X_FILE"]),
            (&[("X", "a"), (CREDENTIALS_VARIABLE, folder.as_str())], ["variable X and", CREDENTIALS_VARIABLE]),
            (&[("X_FILE", file.as_str()), (CREDENTIALS_VARIABLE, folder.as_str())], ["X_FILE", CREDENTIALS_VARIABLE]),
            (&[("X_FILE", "/nowhere/x")], ["X_FILE", "/nowhere/x (variable X_FILE): cannot be read"]),
            (&[("X_FILE", folder.as_str())], ["X_FILE", "cannot be read"]),
        ] {
            let error = look(given).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
            assert!(!error.contains("from file") && !error.contains("from systemd"), "{error}");
        }
    }
}
