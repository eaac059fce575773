//! The budgets of one account, shared by everything in this process that spends from them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::Time;
use tenure_irc::{Attempt, Budget};

use crate::clock::Clock;
use crate::lock::lock;

/// How many JOINs and logins the server takes in which time. Clones share: a reader that follows another, or that reads
/// beside it under the same account, spends from what that one has left.
#[derive(Clone)]
pub struct Budgets {
    inner: Arc<Inner>,
}

struct Inner {
    /// The clock of both budgets.
    clock: Clock,
    joins: Mutex<Budget>,
    logins: Mutex<Budget>,
}

/// A login that was reserved in the budget. It counts from when it is made; dropped before that, it is given back.
pub(crate) struct LoginAttempt {
    budgets: Budgets,
    attempt: Attempt,
    made: bool,
}

/// What is left of one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// `join` or `login`.
    pub bucket: &'static str,
    /// How many attempts could be made now.
    pub left: usize,
    /// In how long the budget is asked again, where nothing is left.
    pub asks_in: Option<Duration>,
}

impl Budgets {
    /// Budgets from which nothing was spent: so many JOINs, and so many logins, in any span of such a time.
    pub fn new(joins: (u32, Duration), logins: (u32, Duration)) -> Self {
        let budget = |(attempts, window)| Mutex::new(Budget::new(attempts, window));
        Budgets { inner: Arc::new(Inner { clock: Clock::new(), joins: budget(joins), logins: budget(logins) }) }
    }

    /// What is left of each.
    pub fn left(&self) -> [Left; 2] {
        let now = self.inner.clock.now();
        [("join", &self.inner.joins), ("login", &self.inner.logins)].map(|(bucket, budget)| {
            let (left, at) = lock(budget).left(now);
            Left { bucket, left, asks_in: at.map(|at| at.since(now)) }
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.inner.clock
    }

    pub(crate) fn joins(&self) -> std::sync::MutexGuard<'_, Budget> {
        lock(&self.inner.joins)
    }

    /// Takes a login, or says when to ask again.
    pub(crate) fn login(&self) -> Result<LoginAttempt, Time> {
        let attempt = lock(&self.inner.logins).reserve(self.inner.clock.now())?;
        Ok(LoginAttempt { budgets: self.clone(), attempt, made: false })
    }
}

impl LoginAttempt {
    /// Whether the login was sent.
    pub(crate) fn is_made(&self) -> bool {
        self.made
    }

    /// The login is sent now.
    pub(crate) fn made(&mut self) {
        self.made = true;
        self.logins(|logins, attempt, now| logins.made(attempt, now));
    }

    /// The server has answered the login, whatever the answer.
    pub(crate) fn answered(&self) {
        self.logins(|logins, attempt, now| logins.answered(attempt, now));
    }

    /// The server has said that logins come too fast.
    pub(crate) fn overrun(&self) {
        self.logins(|logins, _, now| logins.overrun(now));
    }

    /// The server has closed the connection without an answer; answers whether that is taken for an overrun budget.
    pub(crate) fn closed(&self) -> bool {
        self.logins(|logins, _, now| logins.closed(now))
    }

    fn logins<T>(&self, change: impl FnOnce(&mut Budget, Attempt, Time) -> T) -> T {
        let inner = &self.budgets.inner;
        change(&mut lock(&inner.logins), self.attempt, inner.clock.now())
    }
}

impl Drop for LoginAttempt {
    fn drop(&mut self) {
        if !self.made {
            self.logins(|logins, attempt, _| logins.give_back(attempt));
        }
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.left()).finish()
    }
}
