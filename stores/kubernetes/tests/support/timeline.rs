//! Candidates as processes, what they wrote of themselves, what stood in the Lease meanwhile, and a judge of both.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tenure::{Election, Time};
use tenure_test_servers::Kube;
use tokio::signal::unix::{SignalKind, signal};

use crate::kit::{PATIENCE, open};

/// How late what stands in the Lease may become known to whoever looks on.
const LATE: Duration = Duration::from_millis(300);
/// By how much less than another change a renewal of ours may be told late.
const TOLD_LATE: Duration = Duration::from_secs(1);
/// How often one of ours says that it acts.
const BEAT: Duration = Duration::from_millis(20);

/// Which kind of candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    ClientGo,
}

/// A candidate, and what it wrote.
pub(crate) struct Candidate {
    pub(crate) id: String,
    program: Program,
    child: Child,
    said: Arc<Mutex<Vec<(Time, String)>>>,
    /// From when to when it was stopped; the last one may be its end.
    stopped: Vec<(Time, Option<Time>)>,
    gone: Option<Time>,
}

impl Candidate {
    pub(crate) fn start(kube: &Kube, elector: &Path, program: Program, lease: &str, id: &str, ttl: Duration) -> Self {
        let millis = |part: u32| format!("{}ms", ttl.as_millis() / u128::from(part));
        let mut command = match program {
            Program::ClientGo => {
                let mut command = Command::new(elector);
                let server = format!("https://127.0.0.1:{}", kube.port());
                command.args(["-server", &server, "-token", "tok-admin", "-lease", lease, "-id", id, "-release"]);
                command.args(["-duration", &millis(1), "-deadline", &format!("{}ms", ttl.as_millis() * 2 / 3)]);
                command.args(["-retry", &millis(6)]);
                command
            }
            Program::Ours => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["candidate", "--exact", "--nocapture"]);
                let config = kube.admin();
                command.env("CANDIDATE_CONFIG", config).env("CANDIDATE_LEASE", lease).env("CANDIDATE_ID", id);
                command.env("CANDIDATE_TTL_MS", ttl.as_millis().to_string());
                command
            }
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said: Arc<Mutex<Vec<(Time, String)>>> = Arc::default();
        let (out, notes) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The harness may have begun a line of its own before it.
                let json = line.find('{').map_or("", |at| &line[at..]);
                let Ok(event) = serde_json::from_str::<Value>(json) else { continue };
                let (Some(at), Some(event)) = (event["at_ns"].as_u64(), event["event"].as_str()) else { continue };
                notes.lock().unwrap().push((Time::from_nanos(at), event.to_owned()));
            }
        });
        Candidate { id: id.to_owned(), program, child, said, stopped: Vec::new(), gone: None }
    }

    /// Whether it has ended by itself, as client-go does once it has lost what it held.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.gone.is_none() && self.child.try_wait().unwrap().is_some();
        if ended {
            self.gone = Some(tenure::now());
        }
        ended
    }

    pub(crate) fn stop(&mut self) {
        self.signal(Signal::STOP);
        self.stopped.push((tenure::now(), None));
    }

    pub(crate) fn resume(&mut self) {
        if let Some((_, to)) = self.stopped.last_mut() {
            *to = Some(tenure::now());
        }
        self.signal(Signal::CONT);
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.gone();
    }

    /// Asks it to release and to end.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
        self.gone();
    }

    fn gone(&mut self) {
        if self.gone.is_none() {
            let mut waited = Duration::ZERO;
            while self.child.try_wait().unwrap().is_none() {
                std::thread::sleep(BEAT);
                waited += BEAT;
                if waited > PATIENCE {
                    self.signal(Signal::KILL);
                }
            }
            self.gone = Some(tenure::now());
        }
    }

    fn signal(&self, signal: Signal) {
        if self.gone.is_none() {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }
    }

    /// From when to when it led, as it said itself: of ours the moments at which it acted, of client-go until it said that
    /// it had stopped, was stopped, or had gone.
    fn spans(&self) -> Vec<(Time, Time)> {
        let said = self.said.lock().unwrap();
        let mut spans: Vec<(Time, Time)> = Vec::new();
        let mut open = false;
        for (at, event) in said.iter() {
            match event.as_str() {
                "leading" => {
                    spans.push((*at, *at));
                    open = true;
                }
                "act" | "stopped" if open => {
                    if let Some(span) = spans.last_mut().filter(|_| event == "act" || self.program == Program::ClientGo)
                    {
                        span.1 = *at;
                    }
                    open = event == "act";
                }
                _ => {}
            }
        }
        if let Some(span) = spans.last_mut().filter(|_| open && self.program == Program::ClientGo) {
            span.1 = self.gone.unwrap_or_else(tenure::now);
        }
        if self.program == Program::ClientGo {
            // It has no deadline of its own: after a stop it acts until it looks.
            for span in &mut spans {
                let paused = self.stopped.iter().filter(|(from, _)| span.0 < *from && *from < span.1);
                if let Some((from, _)) = paused.min_by_key(|(from, _)| *from) {
                    span.1 = *from;
                }
            }
        }
        spans
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if self.gone.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A candidate of this store, until it is asked to end.
pub(crate) async fn take_part() {
    let (Ok(config), Ok(lease), Ok(id), Ok(ttl)) = (
        std::env::var("CANDIDATE_CONFIG"),
        std::env::var("CANDIDATE_LEASE"),
        std::env::var("CANDIDATE_ID"),
        std::env::var("CANDIDATE_TTL_MS"),
    ) else {
        return;
    };
    let say = |at: Time, event: &str| println!("\n{{\"at_ns\":{},\"event\":\"{event}\"}}", at.as_nanos());
    let mut term = signal(SignalKind::terminate()).unwrap();
    let store = Arc::new(open(config.into()).await.unwrap());
    let ttl = Duration::from_millis(ttl.parse().unwrap());
    let election = Election::builder(store, lease).holder(id).ttl(ttl).start().unwrap();
    loop {
        let leadership = tokio::select! {
            leadership = election.campaign() => leadership.unwrap(),
            _ = term.recv() => break,
        };
        say(tenure::now(), "leading");
        loop {
            let at = tenure::now();
            if !leadership.is_current() {
                break;
            }
            say(at, "act");
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                _ = term.recv() => {
                    say(tenure::now(), "stopped");
                    let _ = leadership.resign().await;
                    election.stop().await;
                    return;
                }
            }
        }
        say(tenure::now(), "stopped");
        drop(leadership);
    }
    election.stop().await;
}

/// What stood in the Lease, as one who looks on was told.
pub(crate) struct Timeline {
    begun: Time,
    changes: Arc<Mutex<Vec<Change>>>,
    kubectl: Child,
}

#[derive(Clone, Debug)]
struct Change {
    at: Time,
    /// Then, by this machine's wall clock.
    wall: Timestamp,
    /// `renewTime`, by the same clock: client-go sets it before it writes; ours runs ahead where it renews within a second.
    renewed: Option<Timestamp>,
    holder: String,
    duration: Duration,
}

/// Who led when, at a moment of the test.
pub(crate) struct Acts(Vec<(String, Program, Time, Time)>);

/// How often which kind led, and how often the Lease changed hands.
pub(crate) struct Acted {
    pub(crate) ours: usize,
    pub(crate) client_go: usize,
    pub(crate) changes: usize,
}

impl Acts {
    /// Whether it ever led.
    pub(crate) fn leads(&self, id: &str) -> bool {
        self.0.iter().any(|(led, ..)| led == id)
    }

    /// Who led last.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.0.iter().max_by_key(|(_, _, from, _)| *from).map(|(id, ..)| id.as_str())
    }
}

impl Timeline {
    pub(crate) fn observe(kube: &Kube, lease: &str) -> Timeline {
        let field = format!("--field-selector=metadata.name={lease}");
        let mut command = kube.kubectl_command();
        command.args(["get", "leases", "--watch", &field, "-o", "json"]);
        let mut kubectl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
        let (out, seen) = (BufReader::new(kubectl.stdout.take().unwrap()), Arc::clone(&changes));
        std::thread::spawn(move || {
            for object in serde_json::Deserializer::from_reader(out).into_iter::<Value>().map_while(Result::ok) {
                let spec = &object["spec"];
                let holder = spec["holderIdentity"].as_str().unwrap_or_default().to_owned();
                let duration = Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or_default());
                let renewed = spec["renewTime"].as_str().and_then(|time| time.parse().ok());
                let (at, wall) = (tenure::now(), Timestamp::now());
                seen.lock().unwrap().push(Change { at, wall, renewed, holder, duration });
            }
        });
        Timeline { begun: tenure::now(), changes, kubectl }
    }

    /// Who has led so far.
    pub(crate) fn acts(&self, candidates: &[&Candidate]) -> Acts {
        let spans = candidates.iter().flat_map(|candidate| {
            let (id, program) = (&candidate.id, candidate.program);
            candidate.spans().into_iter().map(move |(from, to)| (id.clone(), program, from, to))
        });
        let mut spans: Vec<_> = spans.collect();
        spans.sort_by_key(|(_, _, from, _)| *from);
        Acts(spans)
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Acts) -> bool, candidates: &[&Candidate]) {
        let end = tenure::now() + PATIENCE;
        while !so(&self.acts(candidates)) {
            assert!(tenure::now() < end, "not in time: {what}\n{}", self.story(candidates));
            std::thread::sleep(BEAT);
        }
    }

    /// Who led when, one line each.
    pub(crate) fn story(&self, candidates: &[&Candidate]) -> String {
        let seconds = |at: Time| at.since(self.begun).as_secs_f64();
        let mut lines: Vec<(Time, String)> = Vec::new();
        for (id, _, from, to) in self.acts(candidates).0 {
            lines.push((from, format!("{:7.2}  {id} leads until {:.2}", seconds(from), seconds(to))));
        }
        for candidate in candidates {
            for (from, to) in &candidate.stopped {
                let to = to.map_or("its end".to_owned(), |to| format!("{:.2}", seconds(to)));
                lines.push((*from, format!("{:7.2}  {} is stopped until {to}", seconds(*from), candidate.id)));
            }
            if let Some(gone) = candidate.gone {
                lines.push((gone, format!("{:7.2}  {} has gone", seconds(gone), candidate.id)));
            }
        }
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// Panics where somebody acted while a record of another one was live, or took one that was.
    pub(crate) fn judge(&self, candidates: &[&Candidate]) -> Acted {
        let acts = self.acts(candidates).0;
        let changes = self.changes.lock().unwrap().clone();
        let told = |why: String| format!("{why}\n{}\n{changes:#?}", self.story(candidates));
        let program =
            |id: &str| candidates.iter().find(|candidate| candidate.id == id).map(|candidate| candidate.program);
        let mut handed = 0;
        for pair in changes.windows(2).filter(|pair| pair[0].holder != pair[1].holder) {
            let (old, new) = (&pair[0], &pair[1]);
            if new.holder.is_empty() {
                continue;
            }
            handed += 1;
            if !old.holder.is_empty() {
                // Taken without a release: not before it was silent for as long as it says. `kubectl` may tell of the last
                // renewal late on a machine that is busy; client-go's says itself when it was begun. Another client-go sees no
                // renewal within the second of the one before, for it compares whole seconds.
                let begun = old.renewed.filter(|_| program(&old.holder) == Some(Program::ClientGo));
                let begun = match program(&new.holder) {
                    Some(Program::ClientGo) => begun.and_then(|begun| Timestamp::from_second(begun.as_second()).ok()),
                    _ => begun,
                };
                let silent = match begun {
                    Some(begun) => Duration::try_from(new.wall.duration_since(begun)).unwrap_or_default(),
                    None => new.at.since(old.at) + TOLD_LATE,
                };
                let why = || told(format!("{} took from {} after {silent:?} at most", new.holder, old.holder));
                assert!(silent >= old.duration, "{}", why());
            }
        }
        // Nobody acts while another one does, of whichever kind.
        for (at, (id, _, from, to)) in acts.iter().enumerate() {
            for (other, _, other_from, other_to) in &acts[at + 1..] {
                let apart = id == other || to <= other_from || other_to <= from;
                assert!(apart, "{}", told(format!("{id} and {other} at once")));
            }
        }
        // Whenever one of ours acts, the Lease names it: neither nobody nor client-go.
        for (id, _, from, to) in acts.iter().filter(|(_, program, ..)| *program == Program::Ours) {
            let stands = changes.iter().filter(|change| change.at > *from + LATE && change.at < *to);
            for change in stands {
                assert!(
                    change.holder == *id,
                    "{}",
                    told(format!("{id} acts while the Lease is of {:?}", change.holder))
                );
            }
        }
        let count = |kind| acts.iter().filter(|(id, ..)| program(id) == Some(kind)).count();
        Acted { ours: count(Program::Ours), client_go: count(Program::ClientGo), changes: handed }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
