//! Sentinels: which server is the master, as a majority of those that were named knows it.
//!
//! A master that was cut off together with a client would go on serving that client while the others elect a new one. So
//! without a majority there is no master, and a lease held through the old one ends.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tenure_store::{StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::address::Address;
use crate::connection::Connector;
use crate::error::{invalid, unavailable};
use crate::server::{Role, Server, Session};
use crate::votes::Votes;

/// The Sentinels of one master.
pub(crate) struct Sentinels {
    servers: Vec<Arc<Server>>,
    master: String,
}

impl Sentinels {
    /// Has asked nobody yet. The connector is for Sentinels; a majority is counted among all these addresses.
    pub(crate) fn new(addresses: &[Address], master: &str, connector: &Connector) -> Self {
        let server = |address: &Address| Arc::new(Server::new(address.clone(), connector.clone(), Role::Sentinel));
        Sentinels { servers: addresses.iter().map(server).collect(), master: master.to_owned() }
    }

    /// The master that more than half of all Sentinels name now.
    pub(crate) async fn master(&self, deadline: Instant) -> Result<Address, StoreError> {
        let mut asked: FuturesUnordered<_> = self.servers.iter().map(|sentinel| self.ask(sentinel, deadline)).collect();
        let (mut votes, mut last, all) = (Votes::new(), None, self.servers.len());
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(address) => {
                    if let Some(address) = votes.cast(address, all) {
                        return Ok(address);
                    }
                }
                Err(error) => last = Some(error),
            }
        }
        let name = &self.master;
        let message = match votes.count() {
            0 => format!("redis sentinels: none of {all} named a master for {name:?}"),
            some => format!("redis sentinels: of {all}, {some} named a master for {name:?}, and no majority the same"),
        };
        Err(match last {
            // All of them refused, for a reason that waiting may not mend.
            Some(error) if votes.count() == 0 => StoreError::new(error.kind(), format!("{message}: {error}")),
            Some(error) => unavailable(format!("{message}: {error}")),
            None => unavailable(message),
        })
    }

    async fn ask(&self, sentinel: &Arc<Server>, deadline: Instant) -> Result<Address, StoreError> {
        let session = sentinel.session(deadline).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        match session.read::<Option<(String, u16)>>(&question, deadline).await {
            Ok(Some((host, port))) => Ok(Address::Tcp(host, port)),
            Ok(None) => Err(self.unknown_master(&session, deadline).await),
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Err(invalid(format!(
                "redis {}: is no Sentinel; name Sentinels, which listen on port 26379 by default, or write \
                 redis://HOST:PORT for this server alone",
                sentinel.address()
            ))),
            Err(error) => Err(error),
        }
    }

    /// Names the masters that this Sentinel does know.
    async fn unknown_master(&self, session: &Session, deadline: Instant) -> StoreError {
        let masters =
            session.read::<Vec<HashMap<String, String>>>(redis::cmd("SENTINEL").arg("MASTERS"), deadline).await;
        let names: Vec<String> =
            masters.unwrap_or_default().iter().filter_map(|row| row.get("name").cloned()).collect();
        let message = format!("redis sentinel {}: knows no master {:?}", session.address(), self.master);
        unavailable(match names.as_slice() {
            [] => format!("{message}; see SENTINEL MASTERS there"),
            [first, ..] => format!("{message}; it knows {}: write redis-sentinel://HOST,.../{first}", names.join(", ")),
        })
    }
}
