//! The floor under every hand-over on a server: one small write on a condition, by a bare client that waits for nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tenure_base_http::{Call, Client, ClientOptions, Method, Url};
use tenure_base_net::tls::ClientTls;
use tokio_postgres::NoTls;

use super::site::{Kubeconfig, Server, Site};
use crate::clock::shared_ns;

const TIMES: usize = 10;
const WARM_UP: usize = 3;
/// Between two of them: a hand-over, too, finds client and server at rest.
const PAUSE: Duration = Duration::from_millis(100);

/// The milliseconds of each of some writes, to a record that no other `block` writes to.
pub(super) fn measure(site: &Site, block: u32) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let took = runtime.block_on(async {
        match &site.server {
            Server::Sqlite(_) => sqlite(site, block).await,
            Server::Redis(_) => redis(&site.access().url, block).await,
            Server::Etcd(server) => etcd(server.ports()[0], block).await,
            Server::Postgres(_) => postgres(&site.access().url, block).await,
            Server::Kubernetes(_) => kubernetes(site, block).await,
            Server::Firestore(server) => firestore(server.port(), block).await,
        }
    });
    took.context("cannot measure a round trip")
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

async fn sqlite(site: &Site, block: u32) -> Result<Vec<f64>> {
    let file = site.sqlite().context("no file")??;
    file.execute_batch("create table if not exists t (k integer primary key, v integer)")?;
    file.execute("insert into t values (?1, 0)", [block])?;
    let mut written = file.prepare("update t set v = v + 1 where k = ?1 and v = ?2")?;
    let mut version = 0_i64;
    repeated(async || {
        ensure!(written.execute((block, version))? == 1, "nothing was written");
        version += 1;
        Ok(())
    })
    .await
}

async fn redis(url: &str, block: u32) -> Result<Vec<f64>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let script = redis::Script::new(
        "if (redis.call('GET', KEYS[1]) or '0') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1] + 1) return 1 end return 0",
    );
    script.load_async(&mut connection).await?;
    let mut version = 0;
    repeated(async || {
        let done: i64 =
            script.key(format!("bench-round-trip-{block}")).arg(version).invoke_async(&mut connection).await?;
        version += 1;
        ensure!(done == 1, "nothing was written");
        Ok(())
    })
    .await
}

async fn postgres(url: &str, block: u32) -> Result<Vec<f64>> {
    let (session, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    session.batch_execute("create table if not exists bench_round_trip (k bigint primary key, v bigint)").await?;
    let key = i64::from(block);
    session.execute("insert into bench_round_trip values ($1, 0)", &[&key]).await?;
    let written = session.prepare("update bench_round_trip set v = v + 1 where k = $1 and v = $2").await?;
    let mut version = 0_i64;
    repeated(async || {
        ensure!(session.execute(&written, &[&key, &version]).await? == 1, "nothing was written");
        version += 1;
        Ok(())
    })
    .await
}

async fn etcd(port: u16, block: u32) -> Result<Vec<f64>> {
    let (client, url) = (http(None)?, format!("http://127.0.0.1:{port}/v3/kv/txn"));
    // The gateway wants base64, which this is.
    let (key, mut revision) = (format!("bench{block:03}"), "0".to_owned());
    repeated(async || {
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

async fn kubernetes(site: &Site, block: u32) -> Result<Vec<f64>> {
    let Server::Kubernetes(server) = &site.server else { return Ok(Vec::new()) };
    let config = Kubeconfig::read(&site.access())?;
    let client = http(Some(ClientTls { ca_file: Some(server.ca()), ..ClientTls::default() }))?;
    let all = format!("{}/apis/coordination.k8s.io/v1/namespaces/default/leases", config.server);
    let call = |method, url: &str, lease: &Value| -> Result<Call> {
        Ok(Call::new(method, Url::parse(url)?).json(lease).authorization("Bearer", &config.token.clone().into()))
    };
    let name = format!("bench-round-trip-{block}");
    let made = json!({"metadata": {"name": name}, "spec": {"holderIdentity": "0"}});
    let mut lease = sent(&client, call(Method::POST, &all, &made)?).await?;
    let one = format!("{all}/{name}");
    let mut version = 0;
    repeated(async || {
        version += 1;
        lease["spec"]["holderIdentity"] = version.to_string().into();
        lease = sent(&client, call(Method::PUT, &one, &lease)?).await?;
        Ok(())
    })
    .await
}

async fn firestore(port: u16, block: u32) -> Result<Vec<f64>> {
    let root = "projects/demo-bench/databases/(default)/documents";
    let (client, url) = (http(None)?, format!("http://127.0.0.1:{port}/v1/{root}:commit"));
    let (mut version, mut condition) = (0, json!({"exists": false}));
    repeated(async || {
        version += 1;
        let update =
            json!({"name": format!("{root}/bench/roundTrip{block}"), "fields": {"v": {"integerValue": version}}});
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
