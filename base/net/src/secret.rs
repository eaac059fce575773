//! Secrets from the environment, or from the files that it names.

use std::path::{Path, PathBuf};

pub use secrecy::{ExposeSecret, SecretString};

/// A secret that was named and cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{variable} names {}, which cannot be read: {source}", shown(path))]
pub struct SecretFileError {
    /// The variable that names the file.
    pub variable: String,
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub source: std::io::Error,
}

/// The path where it certainly is one. Anything else may be the secret itself, in the wrong variable.
fn shown(path: &Path) -> String {
    if path.is_absolute() || path.starts_with("..") || path.starts_with(".") {
        path.display().to_string()
    } else {
        "a file (its name is not repeated, for it may be the secret itself; write ./NAME)".to_owned()
    }
}

/// The value of the first of `names` that has one: of the variable itself, else of the file that its `_FILE` twin names, as
/// containers hand secrets in. The last line end of a file is dropped; an empty variable counts as absent.
///
/// `read` looks a variable up: `|name| std::env::var(name).ok()` outside of tests.
pub fn from_environment(
    names: &[&str],
    read: impl Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, SecretFileError> {
    let given = |name: &str| read(name).filter(|value| !value.is_empty());
    for name in names {
        if let Some(value) = given(name) {
            return Ok(Some(value.into()));
        }
        let variable = format!("{name}_FILE");
        if let Some(path) = given(&variable).map(PathBuf::from) {
            return match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).into())),
                Err(source) => Err(SecretFileError { variable, path, source }),
            };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(names: &[&str], variables: &[(&str, &str)]) -> Result<Option<String>, SecretFileError> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Ok(from_environment(names, read)?.map(|secret| secret.expose_secret().to_owned()))
    }

    /// Earlier names go first, a value before its file, and what is empty is not there.
    #[test]
    fn the_first_that_has_a_value_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from a file \r\n").unwrap();
        let path = path.to_str().unwrap();
        let names = &["OWN", "GENERAL"];
        assert_eq!(exposed(names, &[]).unwrap(), None);
        assert_eq!(exposed(names, &[("OWN", ""), ("GENERAL", "b")]).unwrap().as_deref(), Some("b"));
        assert_eq!(exposed(names, &[("OWN", "a"), ("OWN_FILE", "/no/file")]).unwrap().as_deref(), Some("a"));
        assert_eq!(exposed(names, &[("OWN_FILE", path), ("GENERAL", "b")]).unwrap().as_deref(), Some("from a file "));
    }

    /// A file that is missing is an error that names variable and file.
    #[test]
    fn a_missing_file_is_named() {
        let error = exposed(&["OWN"], &[("OWN_FILE", "/no/such/file")]).unwrap_err().to_string();
        assert!(error.contains("OWN_FILE") && error.contains("/no/such/file"), "{error}");
        let error = exposed(&["OWN"], &[("OWN_FILE", "hunter2")]).unwrap_err().to_string();
        assert!(error.contains("OWN_FILE") && !error.contains("hunter2"), "{error}");
    }
}
