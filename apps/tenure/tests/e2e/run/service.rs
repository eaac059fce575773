//! `tenure run` under a service manager: sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), with a stand-in for systemd that
//! sees who sends what. The command that speaks the protocol is another `tenure run`.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use super::{KEY, LONG, Run, Scene, parent, text_of, until};
use crate::fleet::alive;

/// The service manager's end of `NOTIFY_SOCKET`, and what arrived there.
pub(crate) struct Manager {
    socket: UnixDatagram,
    /// What `NOTIFY_SOCKET` says.
    pub(crate) name: String,
    /// Each line of each datagram, with the process that sent it.
    pub(crate) lines: Vec<(i32, String)>,
}

impl Manager {
    /// A socket in the scene's folder, as the system's service manager has one.
    pub(crate) fn at_a_path(scene: &Scene) -> Manager {
        Manager::named(scene, "notify")
    }

    /// The same under another name, for a scene with several.
    pub(crate) fn named(scene: &Scene, name: &str) -> Manager {
        let path = scene.file(name);
        Manager::new(UnixDatagram::bind(&path).unwrap(), path.display().to_string())
    }

    /// A socket in the abstract namespace.
    pub(crate) fn with_an_abstract_name(scene: &Scene) -> Manager {
        let name = format!("tenure-test{}", scene.folder.path().display()).replace('/', "-");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Manager::new(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"))
    }

    fn new(socket: UnixDatagram, name: String) -> Manager {
        rustix::net::sockopt::set_socket_passcred(&socket, true).unwrap();
        Manager { socket, name, lines: Vec::new() }
    }

    /// Takes what has arrived.
    pub(crate) fn receive(&mut self) -> &[(i32, String)] {
        loop {
            let mut buffer = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut vectors = [IoSliceMut::new(&mut buffer)];
            let Ok(received) = recvmsg(&self.socket, &mut vectors, &mut control, RecvFlags::DONTWAIT) else { break };
            let sender = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid.as_raw_nonzero().get()),
                _ => None,
            });
            let text = std::str::from_utf8(&buffer[..received.bytes]).unwrap();
            self.lines.extend(text.lines().map(|line| (sender.unwrap(), line.to_owned())));
        }
        &self.lines
    }

    /// How many such lines have arrived.
    pub(crate) fn count(&mut self, begins: &str) -> usize {
        self.receive().iter().filter(|(_, line)| line.starts_with(begins)).count()
    }

    /// Waits for a line; answers who sent it.
    pub(crate) fn sender_of(&mut self, begins: &str) -> i32 {
        let mut sender = 0;
        until(begins, || {
            let found = self.receive().iter().find(|(_, line)| line.starts_with(begins));
            sender = found.map_or(0, |(sender, _)| *sender);
            sender != 0
        });
        sender
    }
}

/// Starts the command as a service manager does: with its own number in the variables that name a process, and sockets from
/// descriptor 3 on.
pub(crate) fn start(scene: &Scene, command: &Command, variables: &[(&str, &str)], socket: Option<&OwnedFd>) -> Run {
    let mut shell = Command::new("sh");
    let sockets = if socket.is_some() { "exec 3<&0 4<&0 < /dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; " } else { "" };
    let numbers =
        "export SYSTEMD_EXEC_PID=$$; if [ -n \"$WATCHDOG_USEC\" ]; then export WATCHDOG_PID=$$; fi; exec \"$@\"";
    shell.args(["-c", &format!("{sockets}{numbers}"), "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).envs(variables.iter().copied());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(socket.map_or_else(Stdio::null, |socket| socket.try_clone().unwrap().into()));
    scene.start(&mut shell)
}

/// A script that prints what it finds of a service manager, its own number first, and its descriptors 3 and 4.
fn found(file: &Path) -> String {
    format!(
        "{{ echo $$ NOTIFY_SOCKET=$NOTIFY_SOCKET WATCHDOG_PID=$WATCHDOG_PID WATCHDOG_USEC=$WATCHDOG_USEC \
         LISTEN_PID=$LISTEN_PID LISTEN_FDS=$LISTEN_FDS 3=$(readlink /proc/$$/fd/3) 4=$(readlink /proc/$$/fd/4); }} >> {}",
        file.display()
    )
}

/// A run that speaks for its own command, as the command of another one.
fn speaker(scene: &Scene) -> String {
    let program = env!("CARGO_BIN_EXE_tenure");
    format!("exec {program} run --lease inner --store {} --sdnotify tenure -- sleep 600", scene.store())
}

/// The command says when it is ready, and nobody before it; meanwhile the manager hears who leads. The end is told.
#[test]
fn readiness_is_the_commands() {
    let scene = Scene::new();
    let mut manager = Manager::with_an_abstract_name(&scene);
    let script = format!(
        "echo $$ > {}; until [ -e {} ]; do sleep 0.01; done; {}",
        scene.file("pid").display(),
        scene.file("go").display(),
        speaker(&scene)
    );
    let mut command = scene.command(&["--ttl", LONG]);
    command.args(["sh", "-c", &script]);
    let mut run = start(&scene, &command, &[("NOTIFY_SOCKET", &manager.name), ("WATCHDOG_USEC", "400000")], None);
    let tenure = run.pid();
    let pid: i32 = text_of(&scene.file("pid")).trim().parse().unwrap();
    assert_eq!(manager.sender_of(&format!("STATUS=leader: holds {KEY} ")), tenure);
    assert_eq!(manager.sender_of("EXTEND_TIMEOUT_USEC=90000000"), tenure);
    assert_eq!(manager.count("READY"), 0, "{:?}", manager.lines);
    std::fs::write(scene.file("go"), "").unwrap();
    assert_eq!(manager.sender_of("READY=1"), pid);
    // It is the command that gives signs of life, because WATCHDOG_PID is its own number.
    until("signs of life", || manager.receive().iter().filter(|line| **line == (pid, "WATCHDOG=1".into())).count() > 3);
    let own = manager.lines.iter().rposition(|line| *line == (tenure, "WATCHDOG=1".into())).unwrap();
    let first = manager.lines.iter().position(|line| *line == (pid, "WATCHDOG=1".into())).unwrap();
    assert!(own < first, "{:?}", manager.lines);
    run.signal(Signal::TERM);
    run.end();
    assert_eq!(manager.sender_of("STOPPING=1"), tenure);
    assert_eq!((manager.count("READY"), manager.count("STATUS=ending")), (1, 2), "{:?}", manager.lines);
}

/// A standby stays activating and asks for more time again and again; it says who holds the lease, and what ends it.
#[test]
fn a_standby_is_activating_and_asks_for_time() {
    let scene = Scene::new();
    let _leader = scene.run(&["--holder", "anna", "--ttl", LONG], "sleep 600");
    until("a leader", || scene.leases().len() == 1);
    let mut manager = Manager::at_a_path(&scene);
    let mut command = scene.command(&[]);
    command.args(["sleep", "600"]);
    let mut run = start(&scene, &command, &[("NOTIFY_SOCKET", &manager.name)], None);
    assert_eq!(manager.sender_of(&format!("STATUS=standby: waiting for {KEY}, held by anna")), run.pid());
    let asked = manager.count("EXTEND_TIMEOUT_USEC=30000000");
    until("more time", || manager.count("EXTEND_TIMEOUT_USEC=30000000") >= asked + 2);
    run.signal(Signal::TERM);
    run.end();
    assert_eq!(manager.sender_of("STOPPING=1"), run.pid());
    assert_eq!((manager.count("READY"), manager.count("WATCHDOG")), (0, 0), "{:?}", manager.lines);
}

/// A standby that may be ready is so at once, and gives signs of life until the command runs, which finds itself asked for them.
#[test]
fn a_standby_can_be_ready_at_once() {
    let scene = Scene::new();
    let leader = scene.run(&["--ttl", LONG], "sleep 600");
    until("a leader", || scene.leases().len() == 1);
    let mut manager = Manager::at_a_path(&scene);
    let mut command = scene.command(&["--ready-as-standby", "--ttl", LONG]);
    command.args(["sh", "-c", &format!("{}; exec sleep 600", found(&scene.file("found")))]);
    let name = manager.name.clone();
    let variables = [("NOTIFY_SOCKET", &*name), ("WATCHDOG_USEC", "100000")];
    let run = start(&scene, &command, &variables, None);
    assert_eq!(manager.sender_of("READY=1"), run.pid());
    manager.lines.clear();
    until("signs of life", || manager.count("WATCHDOG=1") > 3);
    drop(leader);
    let found = text_of(&scene.file("found"));
    let pid = found.split(' ').next().unwrap();
    assert!(found.contains(&format!("NOTIFY_SOCKET={name} WATCHDOG_PID={pid} WATCHDOG_USEC=100000 ")), "{found}");
    // It leads: from now on it is the command's turn.
    until("the last sign", || {
        manager.receive();
        manager.lines.clear();
        std::thread::sleep(Duration::from_millis(300));
        manager.count("WATCHDOG=1") == 0
    });
}

/// For a command that does not speak the protocol `tenure` says that it is ready once it was started, and alive; the command finds
/// nothing to speak to. Signs of life that are asked of another process are not given.
#[test]
fn a_silent_command_is_spoken_for() {
    let scene = Scene::new();
    let mut manager = Manager::at_a_path(&scene);
    let mut command = scene.command(&["--sdnotify", "tenure"]);
    command.args(["sh", "-c", &format!("{}; exec sleep 600", found(&scene.file("found")))]);
    let name = manager.name.clone();
    let variables = [("NOTIFY_SOCKET", &*name), ("WATCHDOG_USEC", "100000")];
    let run = start(&scene, &command, &variables, None);
    assert_eq!(manager.sender_of("READY=1"), run.pid());
    let found = text_of(&scene.file("found"));
    assert!(found.contains(" NOTIFY_SOCKET= WATCHDOG_PID= WATCHDOG_USEC= LISTEN_PID= "), "{found}");
    manager.lines.clear();
    until("signs of life", || manager.count("WATCHDOG=1") > 3);
    drop(run);
    let mut command = scene.command(&["--sdnotify", "tenure"]);
    command.args(["true"]).env("NOTIFY_SOCKET", &manager.name).env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    manager.receive();
    manager.lines.clear();
    let mut run = scene.start(&mut command);
    run.end();
    assert_eq!((manager.count("READY=1"), manager.count("WATCHDOG"), manager.count("STOPPING=1")), (1, 0, 1));
    // One of several commands of a service does not end it.
    let mut command = scene.command(&["--sdnotify", "tenure"]);
    command.args(["true"]).env("NOTIFY_SOCKET", &manager.name).env("SYSTEMD_EXEC_PID", "1");
    scene.start(&mut command).end();
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (2, 1), "{:?}", manager.lines);
}

/// Sockets reach the command, also the one after it, under its own number; hooks and health checks get none of it, and once the
/// command has them nobody else keeps them, unless it is to be started again.
#[test]
fn sockets_reach_the_command_alone() {
    let scene = Scene::new();
    let listener = std::os::unix::net::UnixListener::bind(scene.file("socket")).unwrap();
    let socket = OwnedFd::from(listener);
    let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
    let named = format!("socket:[{inode}]");
    let manager = Manager::at_a_path(&scene);
    let [elected, health, lost] = ["elected", "health", "lost"].map(|name| found(&scene.file(name)));
    let hooks = ["--on-elected", &elected, "--on-lost", &lost, "--health-cmd", &health];
    for (flags, times) in [(&["--restart=always"][..], 2), (&[], 3)] {
        let mut command = scene.command(&[&hooks[..], flags].concat());
        let tell = found(&scene.file("found"));
        let wait = scene.file("end").display().to_string();
        command.args(["sh", "-c", &format!("{tell}; until [ -e {wait} ]; do sleep 0.01; done")]);
        let variables = [("NOTIFY_SOCKET", &*manager.name), ("WATCHDOG_USEC", "60000000")];
        let mut run = start(&scene, &command, &variables, Some(&socket));
        let line = |number: usize| {
            let mut line = String::new();
            until("a command", || {
                let text = text_of(&scene.file("found"));
                line = text.lines().nth(number - 1).unwrap_or_default().to_owned();
                !line.is_empty()
            });
            line
        };
        for number in if times == 2 { 1..=2 } else { 3..=3 } {
            let line = line(number);
            let pid = line.split(' ').next().unwrap();
            let expected = format!(
                "{pid} NOTIFY_SOCKET={} WATCHDOG_PID={pid} WATCHDOG_USEC=60000000 LISTEN_PID={pid} LISTEN_FDS=2 3={named} 4={named}",
                manager.name
            );
            assert_eq!(line, expected);
            let pid = pid.parse().unwrap();
            let others = [parent(pid), parent(parent(pid))];
            assert_eq!(others[1], run.pid());
            let keeps = |pid: i32| {
                let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
                links.filter_map(|link| link.path().metadata().ok()).any(|file| file.ino() == inode)
            };
            until("the socket's last holder", || others.iter().all(|pid| keeps(*pid) == (times == 2)));
            until("hooks", || scene.file("health").exists() && scene.file("elected").exists());
            if number == 1 {
                std::fs::write(scene.file("end"), "").unwrap();
                until("the command's end", || !alive(pid));
                std::fs::remove_file(scene.file("end")).unwrap();
            }
        }
        if times == 3 {
            std::fs::write(scene.file("end"), "").unwrap();
            run.end();
        }
    }
    for hook in ["elected", "health", "lost"] {
        for line in text_of(&scene.file(hook)).lines() {
            let (_, found) = line.split_once(' ').unwrap();
            let nothing = "NOTIFY_SOCKET= WATCHDOG_PID= WATCHDOG_USEC= LISTEN_PID= LISTEN_FDS=";
            assert!(found.starts_with(nothing) && !found.contains(&named), "{hook}: {line}");
        }
    }
    assert!(socket.as_fd().try_clone_to_owned().is_ok());
}

/// What is said to be there and is not is told, and costs nothing; a wrong address is told as well.
#[test]
fn a_wrong_environment_is_told() {
    let scene = Scene::new();
    let mut command = scene.command(&[]);
    command.args(["true"]).env("NOTIFY_SOCKET", "vsock:2:1");
    let mut run = start(&scene, &command, &[("LISTEN_FDS", "1")], None);
    assert!(run.end().success());
    assert!(run.errors().contains("NOTIFY_SOCKET=vsock:2:1: this is neither"), "{}", run.errors());
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&-; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env("XDG_STATE_HOME", scene.folder.path());
    let mut run = scene.start(&mut shell);
    assert!(run.end().success());
    assert!(run.errors().contains("LISTEN_FDS says that there are 1 sockets, but descriptor 3"), "{}", run.errors());
}
