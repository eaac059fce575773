//! Locking a mutex whose value a panic cannot leave half done.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, poisoned or not: nothing here panics between two changes that belong together, so what a poisoned mutex
/// guards is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
