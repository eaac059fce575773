//! The password file of PostgreSQL's own programs: `HOST:PORT:DATABASE:USER:PASSWORD` a line, `*` for any.

use std::path::Path;

use tenure_base_net::secret::SecretString;

use crate::config::PostgresConfig;

/// Gives each host the password of the first line that fits. A file that is not there, or that others may read, gives none.
pub(crate) fn fill(config: &mut PostgresConfig, file: &Path) {
    use std::os::unix::fs::MetadataExt;
    let private = std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.mode() & 0o077 == 0);
    let Ok(text) = std::fs::read_to_string(file) else { return };
    if !private {
        tracing::warn!(file = %file.display(), "postgres: the password file is not read, for others may read it too; chmod 600");
        return;
    }
    let (user, database) = (config.user.clone().unwrap_or_default(), config.database.clone().unwrap_or_default());
    for server in &mut config.servers {
        // A socket's folder is called localhost there.
        let host = if server.host.starts_with('/') { "localhost" } else { &server.host };
        let wanted = [host, &server.port.to_string(), &database, &user];
        server.password = text.lines().find_map(|line| password(line, wanted)).map(SecretString::from);
    }
}

fn password(line: &str, wanted: [&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut signs = line.chars();
    while let Some(sign) = signs.next().filter(|_| !line.starts_with('#')) {
        let last = fields.len() - 1;
        match sign {
            ':' if last < 4 => fields.push(String::new()),
            '\\' => fields[last].extend(signs.next()),
            sign => fields[last].push(sign),
        }
    }
    let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    (fits && fields.len() == 5).then(|| fields.pop()).flatten()
}
