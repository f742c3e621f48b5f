//! Cached values, encoded with serde as MessagePack.
//!
//! Values that MessagePack cannot represent are found by `get_or_set/value/ambiguous.rs`.

mod ambiguous;

use std::any::type_name;
use std::future::Future;
use std::panic::Location;
use std::pin::pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::ambiguous::has_ambiguous_option;
use super::Inside;
use super::verify::verified_value;
use crate::cache::FragmentCache;
use crate::cache::computation::Computation;
use crate::cache::lookup::Lookup;
use crate::cache::options::Options;
use crate::error::{Error, ErrorKind};
use crate::key::identity::Kind;
use crate::store::entry::Body;
use crate::telemetry::{FragmentKind, MissReason};

impl FragmentCache {
    /// Returns a cached value, or computes it with a closure and stores it. Values are encoded with serde
    /// (MessagePack).
    ///
    /// A stored value that cannot be decoded as `T` is a miss. A value that cannot be encoded is returned, reported to
    /// [`Builder::on_error`](crate::Builder::on_error), and not stored. The same holds for a value that would be
    /// decoded as another one: MessagePack does not distinguish `Some(None)`, `Some(())` and `Some` of a JSON null, at
    /// any depth, from `None`.
    ///
    /// # Errors
    ///
    /// The error of the closure.
    #[track_caller]
    pub fn get_or_set_value<K, T, E>(
        &self,
        key: K,
        options: Options,
        load: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        K: Serialize,
        T: Serialize + DeserializeOwned,
    {
        let mut handler = self.handler(FragmentKind::Value, &options, Location::caller());
        let Some(builder) = self.question_or_bypass(&key, &options, Kind::Value, &mut handler) else { return load() };
        let request = builder.request_with(self.declared(&options.tags));
        let ended = self.inner.flights.ended(request.identity.hash);
        if let Some((value, began)) = self.inner.decoded(&request, |body| self.decode(body)) {
            let Some(mut verifying) = self.verify(&request, &mut handler, began) else { return Ok(value) };
            verifying.work().into_iter().for_each(Computation::enter);
            return Ok(verified_value(value, verifying, load()));
        }
        let mut work = match self.join(&request, &mut handler, ended) {
            Lookup::Compute(work) => work,
            Lookup::Hit(found) => match self.decode(&found.body) {
                Some(value) => return Ok(value),
                None => self.replace(&request, &mut handler, false, MissReason::Unreadable),
            },
        };
        work.set_grace(options.stale, options.stale);
        work.enter();
        let value = load()?;
        self.finish_value(work, &value);
        Ok(value)
    }

    /// [`get_or_set_value`](FragmentCache::get_or_set_value) with a future.
    ///
    /// # Errors
    ///
    /// The error of the future.
    #[track_caller]
    pub fn get_or_set_value_async<K, T, E, F>(
        &self,
        key: K,
        options: Options,
        load: F,
    ) -> impl Future<Output = Result<T, E>>
    where
        K: Serialize,
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, E>>,
    {
        let here = Location::caller();
        async move {
            let mut handler = self.handler(FragmentKind::Value, &options, here);
            let Some(builder) = self.question_or_bypass(&key, &options, Kind::Value, &mut handler) else {
                return load.await;
            };
            let request = builder.request_with(self.declared(&options.tags));
            let ended = self.inner.flights.ended(request.identity.hash);
            if let Some((value, began)) = self.inner.decoded(&request, |body| self.decode(body)) {
                let Some(mut verifying) = self.verify(&request, &mut handler, began) else { return Ok(value) };
                let future = pin!(load);
                let computed = match verifying.work() {
                    Some(work) => Inside { work, future }.await,
                    None => future.await,
                };
                return Ok(verified_value(value, verifying, computed));
            }
            let mut work = match self.join_async(&request, &mut handler, ended).await {
                Lookup::Compute(work) => work,
                Lookup::Hit(found) => match self.decode(&found.body) {
                    Some(value) => return Ok(value),
                    None => self.replace(&request, &mut handler, true, MissReason::Unreadable),
                },
            };
            work.set_grace(options.stale, options.stale);
            let value = Inside { work: &mut work, future: pin!(load) }.await?;
            self.finish_value(work, &value);
            Ok(value)
        }
    }

    fn finish_value<T: Serialize>(&self, mut work: Computation, value: &T) {
        let encoded = if has_ambiguous_option(value) {
            Err("tell `Some` of nothing from `None` in")
        } else {
            rmp_serde::to_vec_named(value).map_err(|_| "encode")
        };
        let bytes = encoded.unwrap_or_else(|failed| {
            self.report_codec(failed, type_name::<T>());
            work.note(|record| record.uncacheable = true);
            Vec::new()
        });
        work.finish(Body::Data(bytes.into()));
    }

    fn decode<T: DeserializeOwned>(&self, body: &Body) -> Option<T> {
        let Body::Data(bytes) = body else { return None };
        rmp_serde::from_slice(bytes)
            .inspect_err(|_| self.report_codec("decode what is stored as", type_name::<T>()))
            .ok()
    }

    /// Reports the type and not the message of serde, because these messages quote values.
    fn report_codec(&self, what: &str, type_name: &str) {
        let message = format!("get_or_set_value: cannot {what} {type_name}");
        self.inner.report(&Error::new(ErrorKind::Codec, message));
    }
}
