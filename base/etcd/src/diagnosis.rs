//! What of a cluster's state weakens what it keeps, or stops it, for an operator who asks.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use tenure_base_http::encoding::number;
use tenure_base_http::{AskError, Asked, Endpoints};
use tenure_base_net::diagnosis::Diagnosis;

use crate::gateway::Gateway;

const MAJORITY: &str = "see that a majority of the members run and reach each other: etcdctl endpoint status --cluster";

/// Asks every member that the URL names, and the cluster for its members and alarms. A member that does not answer is a remark.
/// etcd tells no time, so there is no clock.
pub async fn diagnose(cluster: &Endpoints<Gateway>) -> Diagnosis {
    let mut found = Diagnosis::default();
    let nothing = json!({});
    let status = (0..cluster.servers()).map(|member| cluster.ask_server(member, "v3/maintenance/status", &nothing));
    let (mut clusters, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for (member, answer) in join_all(status).await.into_iter().enumerate() {
        let at = format!("etcd {}", cluster.place(member));
        let status = match answer {
            Ok(status) => status,
            // As it answers whoever asks for one that has a leader.
            Err(error) if error.to_string().contains("no leader") => {
                found.weak(format!("{at}: has no leader: it grants and renews nothing"), MAJORITY);
                continue;
            }
            Err(error) => {
                found.weak(format!("etcd: {error}"), "see that this member runs, or take it out of the URL");
                continue;
            }
        };
        clusters.insert(number(&status["header"]["cluster_id"]));
        versions.extend(status["version"].as_str().map(str::to_owned));
        if number(&status["leader"]) == 0 {
            found.weak(format!("{at}: has no leader: it grants and renews nothing"), MAJORITY);
        }
    }
    if clusters.len() > 1 {
        found.weak(
            format!(
                "etcd: the URL names members of {} clusters: each grants what another one has granted",
                clusters.len()
            ),
            "name the members of one cluster alone",
        );
    }
    found.version = versions.last().map(|version| format!("etcd {version}"));
    if versions.len() > 1 {
        found.well(format!("etcd: members have versions {}", Vec::from_iter(versions).join(" and ")));
    }
    members(cluster, &mut found).await;
    alarms(cluster, &mut found).await;
    found
}

/// How many members there are: each that the URL does not name is one fewer to go on with.
async fn members(cluster: &Endpoints<Gateway>, found: &mut Diagnosis) {
    let named = cluster.servers();
    let count = match cluster.ask("v3/cluster/member/list", &json!({}), Asked::Read).await {
        Ok((list, _)) => list["members"].as_array().map_or(0, Vec::len),
        Err(AskError::Refused(_)) => {
            return found.well("etcd: how many members the cluster has is not told to this user");
        }
        Err(error) => return found.weak(format!("etcd: {error}"), "see `etcdctl member list`"),
    };
    match count {
        0 => found.well("etcd: how many members the cluster has is not told"),
        1 => found.weak(
            "etcd: the cluster has one member: while it is away nothing is granted or renewed, and its disk is the only copy",
            "run three members or five, and name them all in the URL",
        ),
        count if count > named => found.weak(
            format!("etcd: the URL names {named} of {count} members: while those are away the others are not asked"),
            "name every member in the URL: etcd://HOST:PORT,HOST:PORT,...",
        ),
        count => found.well(format!("etcd: {count} members, all named in the URL")),
    }
}

async fn alarms(cluster: &Endpoints<Gateway>, found: &mut Diagnosis) {
    let asked = cluster.ask("v3/maintenance/alarm", &json!({ "action": "GET" }), Asked::Read).await;
    let (answer, _) = match asked {
        Ok(answer) => answer,
        Err(AskError::Refused(_)) => return found.well("etcd: whether there are alarms is not told to this user"),
        Err(error) => return found.weak(format!("etcd: {error}"), "see `etcdctl alarm list`"),
    };
    for alarm in answer["alarms"].as_array().into_iter().flatten() {
        match alarm["alarm"].as_str().unwrap_or_default() {
            "NOSPACE" => found.weak(
                "etcd: alarm NOSPACE: its database is full, and nothing is granted or renewed",
                "etcdctl compact REVISION, etcdctl defrag, then etcdctl alarm disarm",
            ),
            alarm => found.weak(
                format!("etcd: alarm {alarm}: a member's data is damaged"),
                "replace the member, then etcdctl alarm disarm: see etcd's page on data corruption",
            ),
        }
    }
}
