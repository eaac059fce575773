//! The same line started twice on one host: any free port with `:0`, and a port that is busy is told with one that is free.

use std::net::{SocketAddr, TcpListener};

use crate::fleet::{Fleet, Started, quick, tenure, until};
use crate::operators::{Place, ran};

/// Two instances that were both told `--http :0` listen at addresses of their own, which their logs tell.
#[tokio::test(flavor = "multi_thread")]
async fn any_free_port_is_told() {
    let fleet = Fleet::new(quick(1, 100.0), "5s").await;
    let mut children = Vec::new();
    for (name, http, format) in [("a", ":0", "json"), ("b", "127.0.0.1:0", "text")] {
        let log = fleet.folder.path().join(format!("{name}.log"));
        let child = tenure()
            .args(["ingest", "--instance", name, "--store", &fleet.store_url(), "--bus", &fleet.bus_url()])
            .args(["--irc-url", &format!("irc://{}", fleet.sim.addresses().irc), "--channel", &fleet.channels[0]])
            .args(["--http", http, "--log-format", format])
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        children.push((Started(child), log, format));
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    for (child, log, format) in &mut children {
        let mut address = None;
        until("the address", async || {
            let text = std::fs::read_to_string(&log).unwrap();
            address = match *format {
                "json" => text
                    .lines()
                    .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                    .find(|line| line["message"] == "listening")
                    .and_then(|line| line["address"].as_str()?.parse().ok()),
                _ => text.lines().find_map(|line| line.strip_prefix("tenure: endpoints at http://")?.parse().ok()),
            };
            address.is_some()
        })
        .await;
        found.push(address.unwrap());
        assert!(child.0.try_wait().unwrap().is_none());
    }
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() != 0), "{found:?}");
    for address in &found {
        until("an answer", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
    }
    assert_ne!(found[0], found[1]);
    let json = std::fs::read_to_string(&children[0].1).unwrap();
    assert!(json.lines().all(|line| line.starts_with('{')), "{json}");
}

/// A port that is in use ends the start with a line that names a free one, and that one works.
#[test]
fn a_busy_port_is_told_with_a_free_one() {
    let place = Place::new();
    let busy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = busy.local_addr().unwrap().port();
    let http = format!(":{port}");
    let run = |http: &str| ran(place.tenure(&["run", "--lease", "k", "--http", http]).args(["--", "true"]));
    let args = ["ingest", "--channel", "x", "--bus", "stdout:", "--irc-url", "irc://127.0.0.1:9", "--http", &http];
    let ingest = ran(&mut place.tenure(&args));
    for ended in [run(&http), ingest] {
        assert_eq!(ended.code, Some(69), "{}", ended.err);
        let line = ended.err.lines().find(|line| line.starts_with("tenure: ")).unwrap();
        assert!(line.contains(&format!("port {port} is in use: --http :")) && line.contains("--http :0"), "{line}");
        let free = line.split("--http ").nth(1).unwrap().split(' ').next().unwrap();
        assert_ne!(free, http);
        let mended = run(free);
        // Somebody else may have taken it meanwhile, which is told in the same way.
        assert!(mended.code == Some(0) || mended.err.contains("is in use"), "{}", mended.err);
    }
}
