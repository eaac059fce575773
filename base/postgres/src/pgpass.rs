//! The password file of PostgreSQL's own programs: `HOST:PORT:DATABASE:USER:PASSWORD` a line, `*` for any.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The file's text. `None` where it is not there, or where others may read it: PostgreSQL's own programs do not believe it then.
pub(crate) fn read(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    if std::fs::metadata(file).is_ok_and(|file| file.mode() & 0o077 == 0) {
        return Some(text);
    }
    let file = file.display();
    tracing::warn!(%file, "postgres: the password file is not read, for others may read it too; chmod 600");
    None
}

/// The password of the first line that fits host, port, database and user.
pub(crate) fn password(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().find_map(|line| password_of(line, wanted))
}

fn password_of(line: &str, wanted: [&str; 4]) -> Option<String> {
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
