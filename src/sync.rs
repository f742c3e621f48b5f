//! The synchronisation primitives behind the floor table and the flights: the standard library's, or a model
//! checker's under `--cfg shuttle`, so that the checker runs the code that ships. Poisoning is ignored on
//! purpose: every critical section leaves its data whole, and a panic elsewhere must not spread to other pages.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

/// Locks, whatever happened to an earlier holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
