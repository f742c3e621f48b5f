//! Verification of hits of handlers and partials: computes the result again, and chooses what the caller gets.
//!
//! The comparison itself is in `shadow.rs`.

use std::future::Future;
use std::pin::pin;

use minijinja::Value;
use serde::Serialize;

use super::inside::Inside;
use crate::cache::computation::Computation;
use crate::cache::shadow::Verifying;
use crate::key;

/// Computes a hit again. Returns the computed text, or the cached one if the computation fails.
pub(crate) fn verify_text<E>(
    cached: Value,
    mut verifying: Box<Verifying>,
    compute: impl FnOnce() -> Result<Value, E>,
) -> Value {
    verifying.work().into_iter().for_each(Computation::enter);
    match compute() {
        Ok(computed) => verified(cached, verifying, computed),
        Err(_) => cached,
    }
}

pub(super) async fn verify_text_async<E>(
    cached: Value,
    mut verifying: Box<Verifying>,
    compute: impl Future<Output = Result<Value, E>>,
) -> Value {
    let future = pin!(compute);
    let computed = match verifying.work() {
        Some(work) => Inside { work, future }.await,
        None => future.await,
    };
    match computed {
        Ok(computed) => verified(cached, verifying, computed),
        Err(_) => cached,
    }
}

fn verified(cached: Value, verifying: Box<Verifying>, computed: Value) -> Value {
    let same = verifying.compare(cached.as_str().unwrap_or_default(), computed.as_str().unwrap_or_default());
    // Texts are compared without their debug marks. If they are equal, return the one that has them.
    if same { cached } else { computed }
}

/// Compares a computed value with the cached one. Their encodings as keys are compared, because in these maps have no
/// order.
pub(super) fn verified_value<T: Serialize, E>(cached: T, verifying: Box<Verifying>, computed: Result<T, E>) -> T {
    let Ok(computed) = computed else { return cached };
    let encoded = |value: &T| {
        let mut bytes = Vec::new();
        key::encode_handler_qualifier(value, &mut bytes).ok()?;
        Some(bytes)
    };
    let same = match (encoded(&cached), encoded(&computed)) {
        (Some(before), Some(after)) if before != after => {
            verifying.compare(&key::readable(&before), &key::readable(&after))
        }
        _ => verifying.compare("", ""),
    };
    if same { cached } else { computed }
}
