//! Tables that a program makes on first use.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::DatabaseError;

/// A table that is made where it is missing, if the user may do that.
#[derive(Debug)]
pub struct Table {
    name: String,
    create: String,
    /// Whether it was there once.
    was_there: AtomicBool,
}

impl Table {
    /// The table of this name, with these columns and constraints, in SQL. Its pages are filled by half, for rows that change
    /// again and again do so within their page then. Name and schema must be [`identifier`]s.
    pub fn new(schema: Option<&str>, name: &str, columns: &str) -> Table {
        let name = match schema {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        let create = format!("create table if not exists {name} ({columns}) with (fillfactor = 50)");
        Table { name, create, was_there: AtomicBool::new(false) }
    }

    /// Its name as statements have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The statement that makes it.
    pub fn create(&self) -> &str {
        &self.create
    }

    /// It has answered. Returns whether it had done so before.
    pub(crate) fn found(&self) -> bool {
        self.was_there.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn was_there(&self) -> bool {
        self.was_there.load(Ordering::Relaxed)
    }
}

/// A name that needs no quoting and leaves room for what is derived from it: 1 to 50 letters, digits and `_`. `what` names it in
/// the error.
pub fn identifier(what: &str, name: &str) -> Result<String, DatabaseError> {
    let fits = (1..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let wrong = || DatabaseError::invalid(format!("{what} is 1 to 50 letters, digits and _"));
    fits.then(|| name.to_owned()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would have to be quoted is refused, and not repeated.
    #[test]
    fn identifiers_need_no_quoting() {
        assert_eq!(identifier("table", "Tenure_1").unwrap(), "Tenure_1");
        for odd in ["", "a;b", "a\"b", "ä", &"a".repeat(51)] {
            let error = identifier("table", odd).unwrap_err().to_string();
            assert_eq!(error, "postgres: table is 1 to 50 letters, digits and _");
        }
        assert_eq!(Table::new(Some("ops"), "t", "a int").name(), "\"ops\".\"t\"");
    }
}
