//! Sentinels: who is the master, as a majority of those that were named knows it.
//!
//! A master that was cut off together with a client would go on serving it while the others elect a new one. So the
//! majority is asked again at every use that is more than a second after the last time: without one there is no
//! master, and a lease held through the old one ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tenure_store::StoreErrorKind;
use tokio::time::Instant;

use crate::config::Address;
use crate::dial::Dial;
use crate::failure::Failure;
use crate::link::{Link, Live, Role, Sent, text};

/// The Sentinels of one master, and who that was when they were asked last.
pub(crate) struct Sentinels {
    links: Vec<Arc<Link>>,
    name: String,
    dial: Dial,
    role: Role,
    known: Mutex<Option<Known>>,
}

struct Known {
    master: Arc<Link>,
    // When the question was sent that a majority answered; none where that is in doubt.
    asked: Option<Instant>,
}

/// For how long a majority's word is taken.
const VALID: Duration = Duration::from_secs(1);

impl Sentinels {
    /// Has asked nobody yet. `their` dials Sentinels, `dial` the master, which must be of this `role`.
    pub(crate) fn new(sentinels: &[Address], name: &str, their: &Dial, dial: &Dial, role: Role) -> Self {
        let link = |address: &Address| Arc::new(Link::new(address.clone(), their.clone(), Role::Sentinel));
        Sentinels {
            links: sentinels.iter().map(link).collect(),
            name: name.to_owned(),
            dial: dial.clone(),
            role,
            known: Mutex::default(),
        }
    }

    /// The master that a majority names now, or named less than a second ago.
    pub(crate) async fn master(&self, deadline: Instant) -> Result<Arc<Link>, Failure> {
        let asking = Instant::now();
        if let Some(known) = &*self.known()
            && known.asked.is_some_and(|asked| asking < asked + VALID)
        {
            return Ok(Arc::clone(&known.master));
        }
        let address = self.ask(deadline).await?;
        let mut known = self.known();
        let master = match known.take() {
            Some(known) if *known.master.address() == address => known.master,
            _ => Arc::new(Link::new(address, self.dial.clone(), self.role)),
        };
        *known = Some(Known { master: Arc::clone(&master), asked: Some(asking) });
        Ok(master)
    }

    /// The next use asks again.
    pub(crate) fn doubt(&self) {
        if let Some(known) = &mut *self.known() {
            known.asked = None;
        }
    }

    async fn ask(&self, deadline: Instant) -> Result<Address, Failure> {
        // Some time must be left for the master.
        let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let mut asked: FuturesUnordered<_> = self.links.iter().map(|link| self.ask_one(link, until)).collect();
        let (mut votes, mut last): (Vec<(Address, usize)>, Option<Failure>) = (Vec::new(), None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(address) => {
                    let at = match votes.iter().position(|(named, _)| *named == address) {
                        Some(at) => at,
                        None => {
                            votes.push((address, 0));
                            votes.len() - 1
                        }
                    };
                    votes[at].1 += 1;
                    if votes[at].1 * 2 > self.links.len() {
                        return Ok(votes.swap_remove(at).0);
                    }
                }
                Err(failure) => last = Some(failure),
            }
        }
        let answered: usize = votes.iter().map(|(_, votes)| votes).sum();
        let all = self.links.len();
        let message = match answered {
            0 => format!("redis sentinels: none of {all} named a master for {:?}", self.name),
            _ => format!(
                "redis sentinels: of {all}, {answered} named a master for {:?}, and no majority the same",
                self.name
            ),
        };
        match last {
            // All of them refused for a reason that waiting does not mend.
            Some(failure) if answered == 0 => {
                Err(Failure::new(failure.kind, format!("{message}: {}", failure.message)))
            }
            Some(failure) => Err(Failure::unavailable(format!("{message}: {}", failure.message))),
            None => Err(Failure::unavailable(message)),
        }
    }

    async fn ask_one(&self, link: &Arc<Link>, deadline: Instant) -> Result<Address, Failure> {
        let live = link.live(deadline).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        match live.send(&question, deadline).await {
            Sent::Answered(Value::Array(words)) => match (words.first().and_then(text), words.get(1).and_then(text)) {
                (Some(host), Some(port)) => match port.parse() {
                    Ok(port) => Ok(Address::Tcp(host, port)),
                    Err(_) => Err(self.unknown(link, &live, deadline).await),
                },
                _ => Err(self.unknown(link, &live, deadline).await),
            },
            Sent::Answered(_) => Err(self.unknown(link, &live, deadline).await),
            Sent::Refused(reply) if reply.is_unknown_command() => {
                let message = format!(
                    "redis {}: is no Sentinel; name Sentinels, which listen on port 26379 by default, or write \
                     redis://HOST:PORT for this server alone",
                    link.address()
                );
                Err(Failure::new(StoreErrorKind::Invalid, message))
            }
            Sent::Refused(reply) => Err(reply.failure(live.place()).of_question()),
            Sent::Failed(failure) => Err(failure.of_question()),
        }
    }

    /// For a master that this Sentinel does not know; says which it does.
    async fn unknown(&self, link: &Link, live: &Live, deadline: Instant) -> Failure {
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTERS");
        let known = match live.send(&question, deadline).await {
            Sent::Answered(Value::Array(masters)) => masters.iter().filter_map(name_of).collect(),
            _ => Vec::new(),
        };
        let (place, name) = (link.address(), &self.name);
        let known = match known.as_slice() {
            [] => "; see SENTINEL MASTERS there".to_owned(),
            known => format!("; it knows {}: write redis-sentinel://HOST,.../{}", known.join(", "), known[0]),
        };
        Failure::unavailable(format!("redis sentinel {place}: knows no master {name:?}{known}"))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name in a row of SENTINEL MASTERS: names and values by turns.
fn name_of(row: &Value) -> Option<String> {
    let Value::Array(words) = row else { return None };
    words
        .chunks(2)
        .find(|pair| pair.first().and_then(text).as_deref() == Some("name"))
        .and_then(|pair| text(pair.get(1)?))
}
