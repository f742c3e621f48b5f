//! Locks without poisoning, and the primitives that a model checker replaces.
//!
//! `Arc`, `Condvar`, `Mutex` and the atomics here are the standard library's, or shuttle's under `--cfg shuttle`. The
//! floor table, the flights and the replica use them, so that the model checker runs the code that ships.
//!
//! A poisoned lock is acquired like any other. Every critical section leaves its data consistent, and a panic in one
//! request must not fail all later requests.

use std::sync::{LockResult, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// Locks, whether or not an earlier holder panicked.
pub(crate) fn lock<M: Lockable + ?Sized>(mutex: &M) -> M::Guard<'_> {
    unpoisoned(mutex.lock_result())
}

/// Locks for reading, whether or not an earlier holder panicked.
pub(crate) fn read_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    unpoisoned(lock.read())
}

/// Locks for writing, whether or not an earlier holder panicked.
pub(crate) fn write_lock<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    unpoisoned(lock.write())
}

/// The guard, whether or not an earlier holder panicked: for the wait of a [`Condvar`].
pub(crate) fn unpoisoned<G>(result: LockResult<G>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// A mutex that [`lock`] accepts. With shuttle there are two types: code outside of the models keeps the standard
/// library's.
pub(crate) trait Lockable {
    type Guard<'a>
    where
        Self: 'a;

    fn lock_result(&self) -> LockResult<Self::Guard<'_>>;
}

impl<T: ?Sized> Lockable for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        Self: 'a;

    fn lock_result(&self) -> LockResult<Self::Guard<'_>> {
        self.lock()
    }
}

#[cfg(shuttle)]
impl<T: ?Sized> Lockable for std::sync::Mutex<T> {
    type Guard<'a>
        = std::sync::MutexGuard<'a, T>
    where
        Self: 'a;

    fn lock_result(&self) -> LockResult<Self::Guard<'_>> {
        self.lock()
    }
}
