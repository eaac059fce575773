//! The suite can fail: stores with one flaw each are caught, by the case that is about it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tenure_conformance::{BuildError, CaseResult, Options, Rewindable, StoreBuilder, examine};
use tenure_store::{
    Answers, Bound, BoundClaim, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, LeaseTable,
    MemoryStore, Nonce, Note, Released, Renewed, StoreError, StoreInfo, Term, Wake, WakeChange, WakeStream,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    EverybodyIsGranted,
    ARepeatBeginsANewTenure,
    AnybodyMayRenew,
    AnybodyMayRelease,
    ExpiredLeasesAreRenewed,
    LeasesEndEarly,
    LeasesNeverEnd,
    AboveIsIgnored,
    EndedTermsAreForgotten,
    OneBadItemFailsAll,
    DoublesAreNotSeen,
    AnswersComeBackwards,
    PrefixesIgnoreCase,
    ListsAreUnsorted,
    KeysAreTakenForPrefixes,
    NotesAreTrimmed,
    RenewalsKeepTheNote,
    WatchesAreSilent,
    ClaimsAreSilent,
    ReleasesAreToldAsClaims,
    OlderStatesAreTakenForAll,
    HoldsAreIgnored,
    BoundLeasesAgeOut,
    BoundRepeatsBeginANewTenure,
    LastTermsAreIgnored,
    NobodyIsDisplaced,
    EqualTermsAreNotDisplaced,
    HigherTermsAreDisplaced,
    AnyMemberIsDisplaced,
    TenuresWithATtlAreDisplaced,
    BoundLeasesAreRenewed,
    RefusalsTellNoMember,
    ListsTellNoMember,
    RequestsAreNotShown,
}

use Flaw::*;

/// Each flaw, and a case that must catch it.
const CAUGHT_BY: &[(Flaw, &str)] = &[
    (EverybodyIsGranted, "claims::two_claimers"),
    (EverybodyIsGranted, "races::one_of_many_is_granted"),
    (ARepeatBeginsANewTenure, "claims::a_repeated_nonce_gets_the_unchanged_term"),
    (AnybodyMayRenew, "claims::foreign_renewals_and_releases_are_refused"),
    (AnybodyMayRelease, "claims::a_second_release_does_nothing"),
    (ExpiredLeasesAreRenewed, "expiry::renewing_an_expired_lease_is_lost"),
    (LeasesEndEarly, "expiry::a_lease_lasts_its_ttl_and_no_more"),
    (LeasesEndEarly, "expiry::a_retried_claim_lasts_its_ttl_from_the_retry"),
    (LeasesNeverEnd, "expiry::a_silent_holder_is_replaced"),
    (AboveIsIgnored, "terms::exceed_above"),
    (EndedTermsAreForgotten, "terms::the_last_one_is_told_after_its_end"),
    (OneBadItemFailsAll, "batches::one_bad_item_fails_alone"),
    (DoublesAreNotSeen, "batches::a_key_twice_is_refused"),
    (AnswersComeBackwards, "batches::answers_come_in_order"),
    (PrefixesIgnoreCase, "keys::a_prefix_is_literal"),
    (ListsAreUnsorted, "keys::lists_are_sorted_and_complete"),
    (KeysAreTakenForPrefixes, "keys::one_key_is_told_as_lists_show_it"),
    (NotesAreTrimmed, "notes::odd_notes_are_carried_whole"),
    (RenewalsKeepTheNote, "notes::a_renewal_replaces_the_note"),
    (WatchesAreSilent, "watch::a_release_wakes_within_a_deadline"),
    (ClaimsAreSilent, "watch::a_new_tenure_wakes"),
    (ReleasesAreToldAsClaims, "watch::a_release_wakes_within_a_deadline"),
    (OlderStatesAreTakenForAll, "restarts::an_older_state_frees_no_key_early"),
    (OlderStatesAreTakenForAll, "restarts::what_was_promised_outlasts_a_restart"),
    (HoldsAreIgnored, "restarts::what_was_promised_outlasts_a_restart"),
    (BoundLeasesAgeOut, "bound::a_bound_lease_outlives_its_ttl"),
    (BoundRepeatsBeginANewTenure, "bound::a_repeat_gets_the_unchanged_term"),
    (LastTermsAreIgnored, "bound::a_bound_claim_needs_the_last_term"),
    (LastTermsAreIgnored, "bound::a_copy_after_the_release_is_refused"),
    (AnybodyMayRelease, "bound::a_delayed_release_frees_no_later_tenure"),
    (NobodyIsDisplaced, "bound::displacement_goes_by_the_bound_term"),
    (EqualTermsAreNotDisplaced, "bound::displacement_goes_by_the_bound_term"),
    (HigherTermsAreDisplaced, "bound::displacement_goes_by_the_bound_term"),
    (AnyMemberIsDisplaced, "bound::only_the_named_member_is_displaced"),
    (TenuresWithATtlAreDisplaced, "bound::only_the_named_member_is_displaced"),
    (NobodyIsDisplaced, "bound::a_claim_with_a_ttl_displaces"),
    (BoundLeasesAreRenewed, "bound::a_bound_lease_is_not_renewed"),
    (RequestsAreNotShown, "bound::requests_and_removals_work"),
    (RefusalsTellNoMember, "bound::lists_and_refusals_tell_the_member"),
    (ListsTellNoMember, "bound::lists_and_refusals_tell_the_member"),
    (AnswersComeBackwards, "bound::batches_mix_what_is_bound_and_what_is_not"),
    (ClaimsAreSilent, "bound::watchers_are_woken"),
    (EverybodyIsGranted, "bound::one_of_many_displacers_is_granted"),
    (OlderStatesAreTakenForAll, "bound::an_older_state_ends_no_bound_lease"),
];

#[derive(Debug)]
struct Flawed(MemoryStore, Flaw);

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.1 == flaw
    }

    /// The items as whoever holds their keys would have sent them.
    async fn as_holder(&self, held: &[Held]) -> Vec<Held> {
        let records = self.0.list(&KeyPrefix::default()).await.unwrap();
        let as_holder = |held: &Held| {
            let record = records.iter().find(|record| record.key == held.key);
            let (nonce, term) = record.map_or((held.nonce, held.term), |r| (r.nonce.unwrap(), r.term.unwrap()));
            Held { nonce, term, ..held.clone() }
        };
        held.iter().map(as_holder).collect()
    }
}

#[async_trait]
impl LeaseStore for Flawed {
    fn info(&self) -> StoreInfo {
        self.0.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        let mut claims = claims.to_vec();
        for claim in &mut claims {
            match self.1 {
                EverybodyIsGranted => claim.nonce = Nonce { process: 1, campaign: 1 },
                LeasesEndEarly => claim.ttl = claim.ttl * 9 / 10,
                LeasesNeverEnd => claim.ttl = claim.ttl.max(Duration::from_secs(3_600)),
                AboveIsIgnored => claim.above = None,
                HoldsAreIgnored => claim.hold = Duration::ZERO,
                NotesAreTrimmed => claim.note = Note::new(claim.note.as_str().trim()).unwrap(),
                BoundLeasesAgeOut => claim.bound = None,
                NobodyIsDisplaced => claim.displaces = None,
                EqualTermsAreNotDisplaced => {
                    claim.displaces = claim
                        .displaces
                        .take()
                        .and_then(|over| Some(Bound { term: Term::new(over.term.get() - 1)?, ..over }));
                }
                LastTermsAreIgnored => {
                    let last_term = self.0.last_term(&claim.key).await?;
                    claim.bound = claim.bound.take().map(|bound| BoundClaim { last_term, ..bound });
                }
                HigherTermsAreDisplaced | AnyMemberIsDisplaced | TenuresWithATtlAreDisplaced => {
                    let record = self.record(&claim.key).await?;
                    let bound = record.as_ref().and_then(|record| record.bound.clone());
                    match (&mut claim.displaces, bound) {
                        (Some(over), Some(bound)) if self.is(HigherTermsAreDisplaced) => over.term = bound.term,
                        (Some(over), Some(bound)) if self.is(AnyMemberIsDisplaced) => over.member = bound.member,
                        (Some(_), None) if self.is(TenuresWithATtlAreDisplaced) => {
                            self.0.remove(&claim.key).await?;
                        }
                        _ => {}
                    }
                }
                BoundRepeatsBeginANewTenure if claim.bound.is_some() => {
                    let record = self.record(&claim.key).await?;
                    if record.is_some_and(|record| record.nonce == Some(claim.nonce)) {
                        self.0.remove(&claim.key).await?;
                        let last_term = self.0.last_term(&claim.key).await?;
                        claim.bound = claim.bound.take().map(|bound| BoundClaim { last_term, ..bound });
                    }
                }
                ARepeatBeginsANewTenure => {
                    let key = claim.key.clone();
                    self.0.with_table(|table, now| {
                        let records = table.list(now, &KeyPrefix::default());
                        if records.iter().any(|record| record.key == key && record.nonce == Some(claim.nonce)) {
                            table.remove(now, &key);
                        }
                    });
                }
                _ => {}
            }
        }
        if self.is(DoublesAreNotSeen) {
            let mut answers = Vec::new();
            for claim in claims {
                answers.extend(self.0.acquire(&[claim]).await?);
            }
            return Ok(answers);
        }
        let mut answers = self.0.acquire(&claims).await?;
        if self.is(OneBadItemFailsAll) {
            answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().map(Ok).collect();
        }
        if self.is(AnswersComeBackwards) {
            answers.reverse();
        }
        if self.is(RefusalsTellNoMember) {
            for answer in &mut answers {
                if let Ok(Claimed::Held { bound, .. }) = answer {
                    *bound = None;
                }
            }
        }
        Ok(answers)
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        let mut held = held.to_vec();
        if self.is(AnybodyMayRenew) {
            held = self.as_holder(&held).await;
        }
        if self.is(RenewalsKeepTheNote) {
            let records = self.0.list(&KeyPrefix::default()).await?;
            for held in &mut held {
                let record = records.iter().find(|record| record.key == held.key);
                held.note = record.map_or_else(Note::default, |record| record.note.clone());
            }
        }
        if self.is(BoundLeasesAreRenewed) {
            let records = self.0.list(&KeyPrefix::default()).await?;
            let is_bound = |held: &Held| records.iter().any(|record| record.key == held.key && record.bound.is_some());
            if held.iter().all(is_bound) {
                return Ok(held.iter().map(|_| Ok(Renewed::Extended { resign_requested: false })).collect());
            }
        }
        if self.is(ExpiredLeasesAreRenewed) {
            let extended = held.iter().map(|_| Ok(Renewed::Extended { resign_requested: false }));
            return Ok(extended.collect());
        }
        self.0.renew(&held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        let held = if self.is(AnybodyMayRelease) { self.as_holder(held).await } else { held.to_vec() };
        self.0.release(&held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.0.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.0.remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let mut records =
            self.0.list(&if self.is(PrefixesIgnoreCase) { KeyPrefix::default() } else { prefix.clone() }).await?;
        if self.is(PrefixesIgnoreCase) {
            let prefix = prefix.as_str().to_lowercase();
            records.retain(|record| record.key.as_str().to_lowercase().starts_with(&prefix));
        }
        if self.is(ListsAreUnsorted) {
            records.reverse();
        }
        for record in &mut records {
            if self.is(ListsTellNoMember) {
                record.bound = None;
            }
            if self.is(RequestsAreNotShown) {
                record.resign_requested = false;
            }
        }
        Ok(records)
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        let mut records = self.0.list(&KeyPrefix::from(key)).await?;
        if !self.is(KeysAreTakenForPrefixes) {
            records.retain(|record| record.key == *key);
        }
        Ok(records.into_iter().next())
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        if self.is(EndedTermsAreForgotten) {
            let held = self.0.list(&KeyPrefix::from(key)).await?.into_iter().find(|record| record.key == *key);
            return Ok(held.and_then(|record| record.term));
        }
        self.0.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        match self.1 {
            WatchesAreSilent => Ok(futures_util::stream::pending().boxed()),
            ClaimsAreSilent => {
                let wakes = self.0.watch(prefix).await?;
                Ok(wakes.filter(|wake| std::future::ready(wake.change == WakeChange::Freed)).boxed())
            }
            ReleasesAreToldAsClaims => {
                let wakes = self.0.watch(prefix).await?;
                Ok(wakes.map(|wake| Wake { change: WakeChange::Taken, ..wake }).boxed())
            }
            _ => self.0.watch(prefix).await,
        }
    }
}

struct Builder(Arc<Flawed>, Mutex<LeaseTable>);

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "flawed"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        async { Ok(Arc::clone(&self.0) as Arc<dyn LeaseStore>) }.boxed()
    }

    fn rewindable(&self) -> Option<&dyn Rewindable> {
        Some(self)
    }
}

impl Rewindable for Builder {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        StoreBuilder::open(self)
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.1.lock().unwrap() = self.0.0.with_table(|table, _| table.clone());
        async { Ok(()) }.boxed()
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let saved = self.1.lock().unwrap().clone();
        self.0.0.with_table(|table, now| match self.0.1 {
            OlderStatesAreTakenForAll => *table = saved,
            _ => table.come_back(now, &saved),
        });
        async { Ok(()) }.boxed()
    }
}

/// Every flaw is caught by the case that is about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flaw_is_caught() {
    let mut missed = Vec::new();
    for (flaw, case) in CAUGHT_BY {
        let options = Options {
            only: (*case).to_owned(),
            race_time: Duration::ZERO,
            expiry_slack: Duration::from_secs(1),
            wake_bound: Duration::from_secs(1),
            ..Options::default()
        };
        let report = examine(&Builder(Arc::new(Flawed(MemoryStore::new(), *flaw)), Mutex::default()), options).await;
        if !matches!(report.lines(), [line] if matches!(line.result, CaseResult::Failed(_))) {
            missed.push((flaw, case));
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
    println!("{} flaws, all caught", CAUGHT_BY.len());
}
