//! Where the captured lines and public suites are: they hold real people's names, so they are not in the repository.

use std::fs;
use std::path::PathBuf;

/// The folder of corpora; prints the skip line and gives `None` where it is absent.
pub(crate) fn folder(suite: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("TENURE_CORPORA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {suite}: no corpora; set TENURE_CORPORA to the folder that holds them");
    None
}

/// Every line of every `*.lines.txt`, with its file (folder and name) and its number, counted from 1.
pub(crate) fn lines(suite: &str) -> Option<Vec<(String, usize, Vec<u8>)>> {
    let mut lines = Vec::new();
    for folder in fs::read_dir(folder(suite)?).unwrap() {
        let folder = folder.unwrap();
        if !folder.file_type().unwrap().is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".lines.txt") {
                let text = fs::read(folder.path().join(&name)).unwrap();
                let file = format!("{}/{name}", folder.file_name().to_str().unwrap());
                let text = text.strip_suffix(b"\n").unwrap_or(&text);
                let split = text.split(|&byte| byte == b'\n').enumerate();
                lines.extend(split.map(|(at, line)| (file.clone(), at + 1, line.to_vec())));
            }
        }
    }
    lines.sort();
    Some(lines)
}
