//! What a command is handed, so that every `tenure` command in it asks the store of its own lease.

use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};

use super::{KEY, Scene, send, text_of, until};
use crate::fleet::tenure;

/// A command asks the store of its lease, whatever the default store is and wherever it goes: its own term is admitted, and
/// once somebody else leads it is refused.
#[test]
fn a_command_asks_the_store_of_its_own_lease() {
    let scene = Scene::new();
    let tenure = env!("CARGO_BIN_EXE_tenure");
    // A relative path, and a command that goes elsewhere.
    let script = format!(
        "cd /; {tenure} fence check; echo $?; {tenure} leases --json | grep -c '\"key\":\"{KEY}\"'; \
         {tenure} fence check never 1; echo $?; {tenure} resign --force --lease {KEY} > /dev/null; \
         {tenure} run --lease {KEY} --no-wait -- {tenure} fence check; \
         {tenure} fence check; echo $?"
    );
    let mut command = crate::fleet::tenure();
    command.current_dir(scene.folder.path()).env("XDG_STATE_HOME", scene.file("elsewhere"));
    command.args([
        "run",
        "--lease",
        KEY,
        "--store",
        "sqlite:leases.db",
        "--ttl",
        super::LONG,
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines.len(), 8, "{said} {errors}");
    assert!(lines[0].starts_with("admitted: ") && lines[1..3] == ["0", "1"], "{said}");
    assert!(lines[3].starts_with("refused: nothing is known") && lines[4] == "66", "{said}");
    assert!(lines[5].starts_with("admitted: "), "{said} {errors}");
    assert!(lines[6].starts_with("refused: ") && lines[7] == "1", "{said}");
    assert!(!scene.file("elsewhere").exists(), "the default store was asked");
}

/// A store's login is handed on in a file that its user alone can read, and stands in no environment; commands in the
/// command, also another run, find it, and it goes with the tenure.
#[test]
fn a_login_is_handed_on_in_a_file() {
    let Some(programs) = or_skip("run redis", true, RedisPrograms::find()) else { return };
    let redis =
        programs.start(RedisOptions { password: Some("hunter2".to_owned()), ..RedisOptions::default() }).unwrap();
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_tenure");
    let script = format!(
        "{program} fence check && {program} run --lease inner --no-wait -- {program} fence check; echo $?; \
         stat -c %a $TENURE_STORE_SECRET_FILE; echo $$ $TENURE_STORE_SECRET_FILE $TENURE_STORE > {}; exec sleep 1000",
        scene.file("ready").display()
    );
    let url = redis.url().replace("redis://", "redis://:hunter2@") + "?durable=true";
    let mut command = tenure();
    command.env("TENURE_STORE", &url).args(["run", "--lease", KEY, "--", "sh", "-c", &script]);
    command.stdout(std::fs::File::create(scene.file("out")).unwrap());
    let mut run = scene.start(&mut command);
    let ready = text_of(&scene.file("ready"));
    let out = std::fs::read_to_string(scene.file("out")).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("admitted") && lines[1].starts_with("admitted"), "{out}");
    assert_eq!(lines[2..], ["0", "600"]);
    let [pid, file, shown]: [&str; 3] = ready.trim().split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(shown, redis.url() + "?durable=true");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("hunter2"));
    assert!(std::fs::read_to_string(file).unwrap().starts_with(":hunter2\n"));
    // It is for that store alone.
    let other =
        tenure().args(["leases", "--store", "redis://127.0.0.1:1"]).env("TENURE_STORE_SECRET_FILE", file).output();
    assert!(!String::from_utf8_lossy(&other.unwrap().stderr).contains("hunter2"));
    let file = std::path::PathBuf::from(file);
    send(run.pid(), rustix::process::Signal::TERM);
    run.end();
    until("the file's end", || !file.exists());
}
