//! One lease looked at: `tenure leases KEY`, `tenure who`, `tenure wait`.

use std::process::Stdio;
use std::time::Duration;

use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};

use crate::fleet::tenure;
use crate::operators::{Place, ran};

const LONG: Duration = Duration::from_secs(600);

/// `leases KEY` shows that key alone, not those that begin like it, and nothing where nobody holds it; it is a key or a prefix.
#[tokio::test]
async fn leases_of_one_key() {
    let place = Place::new();
    place.hold("app/a", "one", LONG, "").await;
    place.hold("app/ab", "two", LONG, "").await;
    for args in [["leases", "app/a", "--json"], ["leases", "--lease=app/a", "--json"]] {
        let lines = place.run(&args).lines();
        assert_eq!((lines.len(), &lines[0]["holder"]), (1, &"one".into()));
    }
    let none = place.run(&["leases", "app", "--json"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (Some(0), "", "tenure: nobody holds app\n"));
    assert_eq!(place.run(&["leases", "app/a", "--prefix", "app"]).code, Some(64));
}

/// `who` says the holder on one line, and 1 where there is none.
#[tokio::test]
async fn who_holds_a_lease() {
    let place = Place::new();
    let missing = place.run(&["who", "k"]);
    assert!(
        missing.code == Some(1) && missing.out.is_empty() && missing.err.contains("there is no store at"),
        "{missing:?}"
    );
    place.hold("k", "host \u{202e}1", LONG, "").await;
    let held = place.run(&["who", "k"]);
    assert_eq!((held.code, held.out.as_str(), held.err.as_str()), (Some(0), "host \\u{202e}1\n", ""));
    assert_eq!(place.run(&["who", "--lease", "k", "--json"]).lines()[0]["key"], "k");
    let nobody = place.run(&["who", "another"]);
    assert_eq!(
        (nobody.code, nobody.out.as_str(), nobody.err.as_str()),
        (Some(1), "", "tenure: nobody holds another\n")
    );
    let away = ran(tenure().args(["who", "k", "--store", "redis://127.0.0.1:1"]));
    assert_eq!((away.code, away.out.as_str()), (Some(69), ""));
    assert_eq!(place.run(&["who"]).code, Some(64));
}

/// `wait` ends with 76 while somebody holds the key, and with 0 as soon as nobody does: after a release, and where the lease runs
/// out by itself. It prints nothing.
#[tokio::test]
async fn wait_until_a_lease_is_free() {
    let redis =
        or_skip("wait", true, RedisPrograms::find()).map(|programs| programs.start(RedisOptions::default()).unwrap());
    let mut places = vec![Place::new()];
    places.extend(redis.as_ref().map(|redis| Place { url: format!("{}?durable=true", redis.url()), ..Place::new() }));
    for place in places {
        assert_eq!(place.run(&["wait", "k", "-w", "10s"]).code, Some(0), "nobody holds it");
        let held = place.hold("k", "one", LONG, "").await;
        let in_vain = place.run(&["wait", "k", "--timeout", "100ms"]);
        assert_eq!((in_vain.code, in_vain.out.as_str(), in_vain.err.as_str()), (Some(76), "", ""));
        let mut waits = place.tenure(&["wait", "k"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Still waiting after another one has waited in vain beside it.
        assert_eq!(place.run(&["wait", "k", "--timeout", "300ms"]).code, Some(76));
        assert!(waits.try_wait().unwrap().is_none());
        place.store().await.release(&[held]).await.unwrap().remove(0).unwrap();
        let output = tokio::task::spawn_blocking(|| waits.wait_with_output().unwrap()).await.unwrap();
        assert_eq!((output.status.code(), output.stdout.len() + output.stderr.len()), (Some(0), 0));
        place.hold("k", "two", Duration::from_secs(1), "").await;
        assert_eq!(place.run(&["wait", "k", "--timeout", "1m"]).code, Some(0), "it ran out");
    }
    let away = ran(tenure().args(["wait", "k", "--store", "redis://127.0.0.1:1", "--timeout", "1s"]));
    assert_eq!((away.code, away.out.as_str()), (Some(69), ""));
}
