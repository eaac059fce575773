//! The floor under every hand-over on a server: one small write on a condition, by a bare client that waits for nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tenure_base_http::{Call, Client, ClientOptions, Method, Url};
use tenure_base_net::tls::ClientTls;
use tokio_postgres::NoTls;

use super::site::{Kubeconfig, Server, Site};
use crate::clock::shared_ns;
use crate::latency::Took;

const TIMES: usize = 40;
const WARM_UP: usize = 5;
/// Between two of them: a hand-over, too, finds client and server at rest.
const PAUSE: Duration = Duration::from_millis(100);

/// The milliseconds of one write.
pub(super) fn measure(site: &Site) -> Result<Took> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let took = runtime.block_on(async {
        match &site.server {
            Server::Sqlite(_) => sqlite(site).await,
            Server::Redis(_) => redis(&site.access().url).await,
            Server::Etcd(server) => etcd(server.ports()[0]).await,
            Server::Postgres(_) => postgres(&site.access().url).await,
            Server::Kubernetes(_) => kubernetes(site).await,
            Server::Firestore(server) => firestore(server.port()).await,
        }
    });
    took.map(Took::of).context("cannot measure a round trip")
}

/// Does it so often, and returns the milliseconds of each time.
async fn repeated(mut once: impl AsyncFnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..WARM_UP + TIMES {
        tokio::time::sleep(PAUSE).await;
        let from = shared_ns();
        once().await?;
        took.push((shared_ns() - from) as f64 / 1e6);
    }
    Ok(took.split_off(WARM_UP))
}

async fn sqlite(site: &Site) -> Result<Vec<f64>> {
    let file = site.sqlite().context("no file")??;
    file.execute_batch("create table t (k text primary key, v integer); insert into t values ('k', 0)")?;
    let mut written = file.prepare("update t set v = v + 1 where k = 'k' and v = ?1")?;
    let mut version = 0_i64;
    repeated(async || {
        ensure!(written.execute([version])? == 1, "nothing was written");
        version += 1;
        Ok(())
    })
    .await
}

async fn redis(url: &str) -> Result<Vec<f64>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let script = redis::Script::new(
        "if (redis.call('GET', KEYS[1]) or '0') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1] + 1) return 1 end return 0",
    );
    script.load_async(&mut connection).await?;
    let mut version = 0;
    repeated(async || {
        let done: i64 = script.key("bench-round-trip").arg(version).invoke_async(&mut connection).await?;
        version += 1;
        ensure!(done == 1, "nothing was written");
        Ok(())
    })
    .await
}

async fn postgres(url: &str) -> Result<Vec<f64>> {
    let (session, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    session
        .batch_execute("create table bench_round_trip (k text primary key, v bigint); insert into bench_round_trip values ('k', 0)")
        .await?;
    let written = session.prepare("update bench_round_trip set v = v + 1 where k = 'k' and v = $1").await?;
    let mut version = 0_i64;
    repeated(async || {
        ensure!(session.execute(&written, &[&version]).await? == 1, "nothing was written");
        version += 1;
        Ok(())
    })
    .await
}

async fn etcd(port: u16) -> Result<Vec<f64>> {
    let (client, url) = (http(None)?, format!("http://127.0.0.1:{port}/v3/kv/txn"));
    let mut revision = "0".to_owned();
    repeated(async || {
        let key = "YmVuY2g="; // bench
        let asked = json!({
            "compare": [{"key": key, "target": "MOD", "mod_revision": revision}],
            "success": [{"request_put": {"key": key, "value": key}}],
        });
        let answer = sent(&client, Call::new(Method::POST, Url::parse(&url)?).json(&asked)).await?;
        ensure!(answer["succeeded"] == true, "nothing was written: {answer}");
        answer["header"]["revision"].as_str().context("no revision")?.clone_into(&mut revision);
        Ok(())
    })
    .await
}

async fn kubernetes(site: &Site) -> Result<Vec<f64>> {
    let Server::Kubernetes(server) = &site.server else { return Ok(Vec::new()) };
    let config = Kubeconfig::read(&site.access())?;
    let client = http(Some(ClientTls { ca_file: Some(server.ca()), ..ClientTls::default() }))?;
    let all = format!("{}/apis/coordination.k8s.io/v1/namespaces/default/leases", config.server);
    let call = |method, url: &str, lease: &Value| -> Result<Call> {
        Ok(Call::new(method, Url::parse(url)?).json(lease).authorization("Bearer", &config.token.clone().into()))
    };
    let made = json!({"metadata": {"name": "bench-round-trip"}, "spec": {"holderIdentity": "0"}});
    let mut lease = sent(&client, call(Method::POST, &all, &made)?).await?;
    let one = format!("{all}/bench-round-trip");
    let mut version = 0;
    repeated(async || {
        version += 1;
        lease["spec"]["holderIdentity"] = version.to_string().into();
        lease = sent(&client, call(Method::PUT, &one, &lease)?).await?;
        Ok(())
    })
    .await
}

async fn firestore(port: u16) -> Result<Vec<f64>> {
    let root = "projects/demo-bench/databases/(default)/documents";
    let (client, url) = (http(None)?, format!("http://127.0.0.1:{port}/v1/{root}:commit"));
    let (mut version, mut condition) = (0, json!({"exists": false}));
    repeated(async || {
        version += 1;
        let update = json!({"name": format!("{root}/bench/roundTrip"), "fields": {"v": {"integerValue": version}}});
        let asked = json!({"writes": [{"update": update, "currentDocument": condition}]});
        let call = Call::new(Method::POST, Url::parse(&url)?).json(&asked).header("authorization", "Bearer owner");
        let answer = sent(&client, call).await?;
        condition = json!({"updateTime": answer["writeResults"][0]["updateTime"]});
        Ok(())
    })
    .await
}

fn http(tls: Option<ClientTls>) -> Result<Client> {
    let options =
        ClientOptions { tls: tls.unwrap_or_default(), timeout: Duration::from_secs(10), ..ClientOptions::default() };
    Ok(Client::new(&options)?)
}

async fn sent(client: &Client, call: Call) -> Result<Value> {
    let answer = client.send(call).await?;
    ensure!(answer.is_success(), "status {}: {}", answer.status(), String::from_utf8_lossy(answer.body()));
    Ok(answer.json()?)
}
