//! `--bus stdout:`: one envelope a line, and nothing else.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use tenure_twitch_sim::{Checker, Sim, SimConfig, StartRule};

use crate::fleet::{quick, tenure};

/// Every line of the chat comes out as one envelope on a line of its own; logs go to stderr.
#[tokio::test(flavor = "multi_thread")]
async fn stdout_carries_one_envelope_a_line_and_nothing_else() {
    let config = SimConfig { limit: Some(300), start: StartRule::WhenClients(1), ..quick(1, 1_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let mut child = tenure()
        .args(["ingest", "--channel", "sim_channel_001", "--store", "memory:", "--bus", "stdout:"])
        .args(["--irc-url", &format!("irc://{}", sim.addresses().irc)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    sim.chat_over().await;
    let ledger = sim.ledger();
    let wanted = Checker::judge(&ledger, Vec::<Vec<u8>>::new()).sent;
    let reading = tokio::task::spawn_blocking(move || {
        let mut checker = Checker::new(&ledger);
        let mut required = 0;
        for line in BufReader::new(out).lines() {
            let line = line.unwrap();
            let envelope: Value = serde_json::from_str(&line).expect("a line that is no JSON");
            assert_eq!(envelope["v"], "1");
            checker.envelope(line.as_bytes());
            required += u64::from(envelope["type"] != "external.chat.room.v1");
            if required == wanted {
                break;
            }
        }
        checker.verdict()
    });
    let verdict = tokio::time::timeout(crate::fleet::DEADLINE, reading).await.unwrap().unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// When nobody reads stdout any more the daemon ends with a code of its own: what it would publish went nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_ends_the_daemon() {
    let sim = Sim::start(quick(1, 200.0)).await.unwrap();
    let mut child = tenure()
        .args(["ingest", "--channel", "sim_channel_001", "--store", "memory:", "--bus", "stdout:"])
        .args(["--irc-url", &format!("irc://{}", sim.addresses().irc)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || out.read_line(&mut String::new()).unwrap());
    assert!(tokio::time::timeout(crate::fleet::DEADLINE, reading).await.unwrap().unwrap() > 0);
    let mut status = None;
    crate::fleet::until("the daemon's end", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(74));
}
