//! Beside candidates on client-go, on one Lease: each waits for the other, and takes over where the other has gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;
#[path = "support/timeline.rs"]
mod timeline;

use std::path::PathBuf;
use std::time::Duration;

use kit::*;
use tenure_test_servers::{find, or_skip};
use timeline::{Acted, Candidate, Program, Timeline, take_part};

/// How long a lease lasts in these tests, for both kinds of candidates.
const TTL: Duration = Duration::from_secs(3);

fn elector(suite: &str) -> Option<PathBuf> {
    or_skip(suite, false, find("client-go-elector", "build it over client-go, beside kube-apiserver"))
}

/// A candidate of this store as a process of its own: the other tests start this one so, stop it and kill it. By itself it ends at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidate() {
    take_part().await;
}

/// Where one releases the other leads at once; where one is killed the other leads after its lease, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_takes_over_from_the_other() {
    let Some(kube) = start("kubernetes beside client-go") else { return };
    let Some(elector) = elector("kubernetes beside client-go") else { return };
    let timeline = Timeline::observe(&kube, "shared");
    let begin = |program, id: &str| Candidate::start(&kube, &elector, program, "shared", id, TTL);
    let mut one = begin(Program::ClientGo, "go-1");
    timeline.until("go-1 leads", |acts| acts.leads("go-1"), &[&one]);
    let two = begin(Program::Ours, "ours-2");
    std::thread::sleep(TTL * 2);
    assert!(!timeline.acts(&[&one, &two]).leads("ours-2"), "beside a live leader");

    // Released by client-go, and by us.
    one.terminate();
    let released = tenure::now();
    timeline.until("ours-2 leads after a release", |acts| acts.leads("ours-2"), &[&one, &two]);
    assert!(tenure::now().since(released) < TTL, "led {:?} after the release", tenure::now().since(released));
    let before = lease(&kube, "shared")["spec"]["leaseTransitions"].as_i64().unwrap();
    assert!(before >= 1, "{before}");
    let three = begin(Program::ClientGo, "go-3");
    std::thread::sleep(TTL * 2);
    let mut two = two;
    assert!(!timeline.acts(&[&two, &three]).leads("go-3"), "beside a live leader");
    two.terminate();
    let released = tenure::now();
    timeline.until("go-3 leads after a release", |acts| acts.leads("go-3"), &[&two, &three]);
    assert!(tenure::now().since(released) < TTL, "led {:?} after the release", tenure::now().since(released));

    // Killed: by the rule of client-go, which both go by.
    let mut three = three;
    let four = begin(Program::Ours, "ours-4");
    std::thread::sleep(TTL);
    three.kill();
    timeline.until("ours-4 leads after a death", |acts| acts.leads("ours-4"), &[&three, &four]);
    let mut four = four;
    let five = begin(Program::ClientGo, "go-5");
    std::thread::sleep(TTL);
    four.kill();
    timeline.until("go-5 leads after a death", |acts| acts.leads("go-5"), &[&four, &five]);
    timeline.judge(&[&one, &two, &three, &four, &five]);
}

/// Two candidates of each kind, killed and stopped for a minute: at no moment does one of ours act while a record of client-go
/// is live, or client-go take a record of ours that is live, and each kind leads after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_kills_and_stops() {
    let Some(kube) = start("kubernetes beside client-go") else { return };
    let Some(elector) = elector("kubernetes beside client-go") else { return };
    let seconds = std::env::var("TENURE_SOAK_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let timeline = Timeline::observe(&kube, "shared");
    let begin = |program, id: String| Candidate::start(&kube, &elector, program, "shared", &id, TTL);
    let mut all: Vec<Candidate> = Vec::new();
    let mut live = [None, None, None, None];
    let end = tenure::now() + Duration::from_secs(seconds);
    let mut turn: usize = 0;
    while tenure::now() < end {
        for (place, live) in live.iter_mut().enumerate() {
            if live.is_some_and(|at: usize| !all[at].has_ended()) {
                continue;
            }
            let (program, kind) = if place % 2 == 0 { (Program::Ours, "ours") } else { (Program::ClientGo, "go") };
            *live = Some(all.len());
            all.push(begin(program, format!("{kind}-{}", all.len())));
        }
        std::thread::sleep(Duration::from_millis(2_500));
        // Whoever leads is hurt. Ours are told of a release, and see a silence at once: the other one of ours would always be
        // before client-go, so it is hurt as well each second time.
        let acts = timeline.acts(&all.iter().collect::<Vec<_>>());
        let leader = acts.leader().and_then(|id| live.iter().position(|live| live.is_some_and(|at| all[at].id == id)));
        let first = leader.unwrap_or(turn % 4);
        let places =
            if first.is_multiple_of(2) && turn.is_multiple_of(2) { vec![first, 2 - first] } else { vec![first] };
        let hurt: Vec<usize> = places.iter().filter_map(|place| live[*place]).collect();
        match turn % 5 {
            0 | 2 => {
                hurt.iter().for_each(|at| if turn.is_multiple_of(5) { all[*at].kill() } else { all[*at].terminate() });
                places.iter().for_each(|place| live[*place] = None);
                // So that the others have the time to take it.
                std::thread::sleep(TTL + Duration::from_secs(1));
            }
            _ => {
                hurt.iter().for_each(|at| all[*at].stop());
                std::thread::sleep(TTL + Duration::from_millis(if turn % 5 == 3 { 200 } else { 1_500 }));
                hurt.iter().for_each(|at| all[*at].resume());
            }
        }
        turn += 1;
    }
    for candidate in &mut all {
        candidate.terminate();
    }
    let candidates: Vec<&Candidate> = all.iter().collect();
    println!("{}", timeline.story(&candidates));
    let Acted { ours, client_go, changes } = timeline.judge(&candidates);
    assert!(
        ours > 0 && client_go > 0 && changes > 3,
        "both kinds lead: {ours} and {client_go} times, {changes} changes"
    );
}
