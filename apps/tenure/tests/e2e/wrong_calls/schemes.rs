//! Wrong words: schemes, flags, units, commands.

use super::{lock, mended, refused, sqlite};
use crate::fleet::tenure;
use crate::operators::ran;

/// A store or a bus of the plan that is not in this binary is told from one that nobody knows, with what there is. That mends
/// it.
#[test]
fn what_is_not_built_in_is_said_with_what_is() {
    let schemes = ran(tenure().args(["stores", "--json"])).lines();
    let schemes: Vec<_> = schemes.into_iter().filter(|scheme| scheme["kind"] == "store").collect();
    let (built_in, others): (Vec<_>, Vec<_>) = schemes.iter().partition(|scheme| scheme["compiled"] == true);
    let names: Vec<_> = built_in.iter().map(|scheme| format!("{}:", scheme["scheme"].as_str().unwrap())).collect();
    let (last, first) = names.split_last().unwrap();
    let stores = format!("this binary has {} and {last}; `tenure stores` lists all", first.join(", "));
    assert!(others.len() >= 9, "{others:?}");
    for scheme in others {
        let name = scheme["scheme"].as_str().unwrap();
        let how = scheme["feature"]
            .as_str()
            .map(|feature| format!(", the feature {feature} does that (cargo build --features {feature})"));
        let line = format!("the store's URL: {name}: not built in{}; {stores}", how.unwrap_or_default());
        refused(&mut lock(&format!("{name}://host/x")), 64, &line);
        refused(tenure().args(["leases", "--store", &format!("{name}://me:hunter2@host/x")]), 64, &line);
    }
    refused(&mut lock("etdc://h"), 64, &format!("the store's URL: unknown scheme \"etdc\"; {stores}"));
    let none =
        "the store's URL: a store's URL begins with its scheme, such as sqlite:PATH or memory:; this one has none";
    refused(&mut lock("leases.db"), 64, none);
    let folder = tempfile::tempdir().unwrap();
    mended(&mut lock(&sqlite(&folder.path().join("leases.db"))));

    let buses = "this binary has sqlite:PATH, nats://HOST[:PORT] and stdout:; `tenure stores` lists all";
    for url in ["pubsub:project", "redis://:hunter2@h/0"] {
        let name = url.split(':').next().unwrap();
        let line = format!("the bus's URL: {name}: not built in; {buses}");
        refused(tenure().args(["tail", "--bus", url]), 64, &line);
        refused(tenure().args(["ingest", "--channel", "c", "--check", "--bus", url]), 64, &line);
    }
    let unknown = format!("the bus's URL: no bus has the scheme \"kafka\"; {buses}");
    refused(tenure().args(["tail", "--bus", "kafka://h"]), 64, &unknown);
    let listed = ran(tenure().arg("stores")).out;
    for scheme in ["consul", "dynamodb", "pubsub"] {
        assert!(listed.lines().any(|line| line.contains(scheme) && line.contains(" no ")), "{listed}");
    }
}

/// A misspelt flag and a misspelt command are answered with the right ones.
#[test]
fn misspelt_words_are_told_with_the_right_ones() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(&folder.path().join("leases.db"));
    for (args, error, tip) in [
        (&["leases", "--stor", &url][..], "error: unexpected argument '--stor' found", "--store"),
        (&["lease-s", "--store", &url], "error: unrecognized subcommand 'lease-s'", "leases"),
    ] {
        let said = ran(tenure().args(args));
        assert_eq!((said.code, said.err.lines().next()), (Some(64), Some(error)));
        assert!(said.err.contains(tip), "{}", said.err);
    }
    assert_eq!(ran(tenure().args(["leases", "--store", &url])).code, Some(0));
}

/// A duration without a unit is answered with durations that have one.
#[test]
fn a_missing_unit_is_told_with_units() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(&folder.path().join("leases.db"));
    let run = |ttl: &str| {
        let mut command = tenure();
        command.args(["run", "--lease", "k", "--no-wait", "--ttl", ttl, "--store", &url, "--", "true"]);
        command
    };
    let said = ran(&mut run("5"));
    let line = "error: invalid value '5' for '--ttl <DURATION>': \"5\" has no unit: write it with a unit, as 5s for seconds, \
                5ms, 5m, 5h or 5d";
    assert_eq!((said.code, said.err.lines().next()), (Some(64), Some(line)));
    mended(&mut run("5s"));
    let check = |ttl: &str| {
        let mut command = tenure();
        command.args(["ingest", "--channel", "c", "--check", "--ttl", ttl]);
        command
    };
    let line = "ttl: \"3\" has no unit: write it with a unit, as 3s for seconds, 3ms, 3m, 3h or 3d (from flag)";
    refused(&mut check("3"), 64, line);
    mended(&mut check("3s"));
}

/// A command that is not there, or may not be executed, is told before anything is claimed.
#[test]
fn a_command_that_cannot_be_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(&folder.path().join("leases.db"));
    let script = folder.path().join("job");
    let run = |program: &str| {
        let mut command = tenure();
        command.args(["run", "--lease", "k", "--no-wait", "--store", &url, "--", program]);
        command
    };
    refused(&mut run("no-such-job"), 127, "no-such-job: command not found; see PATH, or name the file");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    let program = script.display().to_string();
    refused(&mut run(&program), 126, &format!("{program}: cannot be run: permission denied; see `chmod +x`"));
    assert!(!folder.path().join("leases.db").exists(), "nothing was claimed");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    mended(&mut run(&program));
}

/// No hint names a flag that the command does not have.
#[test]
fn hints_name_flags_that_the_command_has() {
    for (args, mend) in [
        (&["leases"][..], "name the store with --store"),
        (&["watch"], "name the store with --store"),
        (&["resign", "--lease", "k"], "name the store with --store"),
        (&["run", "--lease", "k", "--no-wait", "--", "true"], "name the store with --store"),
        (&["tail"], "name the bus with --bus"),
    ] {
        let without_home = || {
            let mut command = tenure();
            command.env_remove("HOME").env_remove("XDG_STATE_HOME").args(args);
            command
        };
        let none = "neither XDG_STATE_HOME nor HOME is set, so there is no default place";
        refused(&mut without_home(), 64, &format!("{mend}: {none}"));
        let help = ran(tenure().args(&args[..1]).arg("--help")).out;
        assert!(help.contains(mend.rsplit(' ').next().unwrap()), "{args:?} has no such flag");
    }
    let folder = tempfile::tempdir().unwrap();
    mended(&mut lock(&sqlite(&folder.path().join("leases.db"))));
}
