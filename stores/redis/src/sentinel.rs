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
use tokio::time::Instant;

use crate::config::Address;
use crate::dial::Dial;
use crate::failure::Failure;
use crate::link::{Link, Role, Sent, text};

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
        let mut message = format!(
            "redis sentinels: of {}, {answered} named a master for {:?}, and no majority the same",
            self.links.len(),
            self.name
        );
        match last {
            // All of them refused for a reason that waiting does not mend.
            Some(failure) if answered == 0 => {
                message = format!("{message}: {}", failure.message);
                Err(Failure::new(failure.kind, message))
            }
            Some(failure) => Err(Failure::unavailable(format!("{message}: {}", failure.message))),
            None => Err(Failure::unavailable(message)),
        }
    }

    async fn ask_one(&self, link: &Link, deadline: Instant) -> Result<Address, Failure> {
        let live = link.live(deadline).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let unknown = || {
            let message = format!("redis sentinel {}: knows no master {:?}", link.address(), self.name);
            Failure::unavailable(message)
        };
        match live.send(&question, deadline).await {
            Sent::Answered(Value::Array(words)) => match (words.first().and_then(text), words.get(1).and_then(text)) {
                (Some(host), Some(port)) => {
                    let port = port.parse().map_err(|_| unknown())?;
                    Ok(Address::Tcp(host, port))
                }
                _ => Err(unknown()),
            },
            Sent::Answered(_) => Err(unknown()),
            Sent::Refused(reply) => Err(reply.failure(live.place()).of_question()),
            Sent::Failed(failure) => Err(failure.of_question()),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
