//! `tenure man`: a page for each command, as `man` reads it.

use std::process::Command;

use tenure_test_servers::{find, or_skip};

use crate::fleet::tenure;
use crate::operators::ran;

/// Each command has a page with its flags and its examples, which `groff` typesets without complaint; they replace older ones and leave
/// nothing else behind.
#[test]
fn each_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("tenure.1"), "old").unwrap();
    std::fs::write(file("other.1"), "another program's").unwrap();
    let ended = ran(tenure().arg("man").arg(folder.path()));
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    assert!(ended.err.contains("manual pages in "), "{}", ended.err);
    let mut names: Vec<String> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in ["other.1", "tenure.1", "tenure-run.1", "tenure-fence.1", "tenure-fence-check.1", "tenure-ingest.1"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(names.iter().all(|name| name.ends_with(".1") && !name.contains("help")), "{names:?}");
    assert_eq!(std::fs::read_to_string(file("other.1")).unwrap(), "another program's");
    let run = std::fs::read_to_string(file("tenure-run.1")).unwrap();
    for part in [".TH tenure-run 1 ", ".SH NAME\n", "\\-\\-lease", ".SH \"EXIT STATUS\"", ".SH EXAMPLES\n", "tenure(1)"]
    {
        assert!(run.contains(part), "no {part:?} in {run}");
    }
    let Some(groff) = or_skip("man", false, find("groff", "install the Debian package groff-base")) else { return };
    for name in names.iter().filter(|name| *name != "other.1") {
        let output = Command::new(&groff).args(["-man", "-Tutf8", "-ww", "-rLL=80n"]).arg(file(name)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains(name.trim_end_matches(".1")), "{name}: {text}");
    }
}

/// A folder that is not there, is none, or may not be written to is told, with what mends it.
#[test]
fn a_wrong_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let ended = ran(tenure().arg("man").arg(folder.path().join("no/such")));
    assert!(ended.code == Some(64) && ended.err.contains("no/such") && ended.err.contains("mkdir -p"), "{ended:?}");
    let ended = ran(tenure().arg("man").arg(&file));
    assert!(ended.code == Some(64) && ended.err.contains("is no folder"), "{ended:?}");
    // Nobody can write there, whoever runs the test.
    let ended = ran(tenure().args(["man", "/proc/self"]));
    assert!(ended.code == Some(1) && ended.err.contains("cannot write /proc/self/tenure"), "{ended:?}");
    assert_eq!(ran(tenure().arg("man")).code, Some(64));
}
