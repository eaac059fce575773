//! Which database of Firestore, and where it is asked.

use tenure_base_http::Url;

/// Which database, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The project's id.
    pub project: String,
    /// The database's id; `(default)` unless told otherwise.
    pub database: String,
    /// `HOST:PORT` of an emulator, which is asked without credentials.
    pub emulator: Option<String>,
    /// Where to ask in place of `https://firestore.googleapis.com`.
    pub endpoint: Option<Url>,
}

impl Database {
    /// The database that is written `PROJECT[/DATABASE]`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Database, &'static str> {
        let (project, database) = text.split_once('/').unwrap_or((text, ""));
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:()".contains(&b));
        let database = match database.trim_end_matches('/') {
            "" => "(default)",
            name => name,
        };
        match (is_name(project) && !project.is_empty(), is_name(database)) {
            (false, _) => Err("PROJECT is the project's id: letters, digits and hyphens"),
            (_, false) => Err("DATABASE is the database's id, or left out for (default)"),
            _ => {
                let (project, database) = (project.to_owned(), database.to_owned());
                Ok(Database { project, database, emulator: None, endpoint: None })
            }
        }
    }

    /// Asks this emulator.
    pub fn with_emulator(self, host: &str) -> Result<Database, &'static str> {
        Url::parse(&format!("http://{host}")).map_err(|_| "an emulator is named HOST:PORT, such as 127.0.0.1:8080")?;
        Ok(Database { emulator: Some(host.to_owned()), ..self })
    }

    /// Asks there: over TLS, or not beyond this machine, for tokens are sent.
    pub fn with_endpoint(self, url: &str) -> Result<Database, &'static str> {
        let url = Url::parse(url).ok().filter(|url| {
            let is_near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            url.scheme() == "https" || (url.scheme() == "http" && is_near)
        });
        Ok(Database { endpoint: Some(url.ok_or("endpoint is a URL that begins with https://")?), ..self })
    }

    /// Asks the emulator that `FIRESTORE_EMULATOR_HOST` names, where neither that nor an endpoint was named. `read` looks a
    /// variable up.
    pub fn with_environment(self, read: impl Fn(&str) -> Option<String>) -> Result<Database, &'static str> {
        match read("FIRESTORE_EMULATOR_HOST").filter(|host| !host.is_empty()) {
            Some(host) if self.emulator.is_none() && self.endpoint.is_none() => self.with_emulator(&host),
            _ => Ok(self),
        }
    }

    /// The URL that all calls begin with.
    pub(crate) fn base(&self) -> String {
        match (&self.emulator, &self.endpoint) {
            (Some(host), _) => format!("http://{host}"),
            (None, Some(url)) => url.as_str().trim_end_matches('/').to_owned(),
            (None, None) => "https://firestore.googleapis.com".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable names an emulator, unless it was said where to ask.
    #[test]
    fn the_environment_names_an_emulator() {
        let read = |name: &str| (name == "FIRESTORE_EMULATOR_HOST").then(|| "localhost:1".to_owned());
        let database = || Database::parse("demo/orders/").unwrap();
        assert_eq!((database().project.as_str(), database().database.as_str()), ("demo", "orders"));
        let base = |database: Database| database.with_environment(read).unwrap().base();
        assert_eq!(base(database()), "http://localhost:1");
        assert_eq!(base(database().with_emulator("[::1]:2").unwrap()), "http://[::1]:2");
        assert_eq!(base(database().with_endpoint("https://x.example/").unwrap()), "https://x.example");
        let nothing = database().with_environment(|_| Some(String::new())).unwrap();
        assert_eq!(nothing.base(), "https://firestore.googleapis.com");
    }
}
