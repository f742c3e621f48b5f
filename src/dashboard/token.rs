//! Tokens that protect invalidations against forged requests. A token is valid for one order on one dashboard, for ten
//! minutes.
//!
//! The dashboard has no sessions, so a token is an HMAC of the order and of its expiry. Pages of other sites cannot
//! read the confirmation page, so they have no token. A leaked token allows only the order that it was made for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::order::Order;
use crate::cache::FragmentCache;
use crate::error::{Error, ErrorKind};

/// The lifetime of a token.
const LIFE: Duration = Duration::from_secs(600);

/// Separates these digests from those that other software makes with the same secret.
const DOMAIN: &[u8] = b"minijinja-cache dashboard 1";

/// Makes and checks tokens.
pub(super) struct Signer {
    secret: Vec<u8>,
    namespace: String,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    Expired,
    Wrong,
}

impl Signer {
    /// `None` if the system has no random bytes for a secret. The error is reported to the cache.
    pub(super) fn new(secret: Option<&[u8]>, cache: &FragmentCache) -> Option<Signer> {
        let secret = match secret {
            Some(secret) if !secret.is_empty() => secret.to_vec(),
            _ => {
                let mut random = vec![0; 32];
                if getrandom::fill(&mut random).is_err() {
                    let message = "the dashboard cannot make tokens without random bytes, and invalidates nothing";
                    cache.inner.report(&Error::new(ErrorKind::Config, message));
                    return None;
                }
                random
            }
        };
        Some(Signer { secret, namespace: cache.namespace.path.clone() })
    }

    pub(super) fn token(&self, order: &Order, now: SystemTime) -> String {
        let until = seconds(now + LIFE);
        let digest = self.digest(order, until).finalize().into_bytes();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{until:x}.{digest}")
    }

    pub(super) fn check(&self, token: &str, order: &Order, now: SystemTime) -> Result<(), TokenRefusal> {
        let (until, digest) = token.split_once('.').ok_or(TokenRefusal::Wrong)?;
        let until = u64::from_str_radix(until, 16).map_err(|_| TokenRefusal::Wrong)?;
        let digest = unhex(digest).ok_or(TokenRefusal::Wrong)?;
        // Compares in constant time.
        self.digest(order, until).verify_slice(&digest).map_err(|_| TokenRefusal::Wrong)?;
        let now = seconds(now);
        if (now..=now + LIFE.as_secs()).contains(&until) { Ok(()) } else { Err(TokenRefusal::Expired) }
    }

    fn digest(&self, order: &Order, until: u64) -> Hmac<Sha256> {
        // HMAC accepts keys of any length, so this never falls back.
        let mut digest =
            Hmac::<Sha256>::new_from_slice(&self.secret).unwrap_or_else(|_| Hmac::new(&Default::default()));
        digest.update(DOMAIN);
        digest.update(&until.to_le_bytes());
        let fields = order.fields();
        let parts = fields.iter().flat_map(|(name, value)| [*name, value.as_str()]);
        for part in std::iter::once(self.namespace.as_str()).chain(parts) {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok().filter(|_| two.len() == 2)).collect()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::super::params::Params;
    use super::*;

    fn order(cache: &FragmentCache, form: &str) -> Order {
        Order::asked(cache, &Params::read(form)).unwrap()
    }

    #[test]
    fn a_token_is_valid_for_its_order_and_ten_minutes() {
        let cache = FragmentCache::builder().build().unwrap();
        let signer = Signer::new(None, &cache).unwrap();
        let (films, users) = (order(&cache, "kind=tag&value=films"), order(&cache, "kind=tag&value=users"));
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let token = signer.token(&films, now);
        assert_eq!(signer.check(&token, &films, now), Ok(()));
        assert_eq!(signer.check(&token, &films, now + LIFE), Ok(()));
        assert_eq!(signer.check(&token, &films, now + LIFE + Duration::from_secs(1)), Err(TokenRefusal::Expired));
        // The clock was set back by more than the lifetime of the token.
        assert_eq!(signer.check(&token, &films, now - LIFE), Err(TokenRefusal::Expired));
        assert_eq!(signer.check(&token, &users, now), Err(TokenRefusal::Wrong));
        for form in ["kind=template&value=films", "kind=tag&value=films&namespace=a", "kind=everything"] {
            assert_eq!(signer.check(&token, &order(&cache, form), now), Err(TokenRefusal::Wrong), "{form}");
        }
    }

    #[test]
    fn a_token_of_another_dashboard_is_refused() {
        let cache = FragmentCache::builder().build().unwrap();
        let order = order(&cache, "kind=everything");
        let now = SystemTime::now();
        let signer = |secret: Option<&[u8]>, cache: &FragmentCache| Signer::new(secret, cache).unwrap();
        let token = signer(None, &cache).token(&order, now);
        assert_eq!(signer(None, &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
        // An empty secret counts as none: each dashboard gets a random one.
        let token = signer(Some(b""), &cache).token(&order, now);
        assert_eq!(signer(Some(b""), &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
        // Two processes of one application share a secret.
        let token = signer(Some(b"secret"), &cache).token(&order, now);
        assert_eq!(signer(Some(b"secret"), &cache).check(&token, &order, now), Ok(()));
        assert_eq!(signer(Some(b"secret"), &cache.namespace("a")).check(&token, &order, now), Err(TokenRefusal::Wrong));
        assert_eq!(signer(Some(&[7; 500]), &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
    }

    #[test]
    fn a_malformed_token_is_refused() {
        let cache = FragmentCache::builder().build().unwrap();
        let signer = Signer::new(None, &cache).unwrap();
        let order = order(&cache, "kind=everything");
        let now = SystemTime::now();
        let good = signer.token(&order, now);
        let (until, digest) = good.split_once('.').unwrap();
        let later = u64::from_str_radix(until, 16).unwrap() + 1;
        let wrong = [
            String::new(),
            ".".into(),
            "x.y".into(),
            format!("{until}."),
            format!("{until}.{}", &digest[1..]),
            format!("{until}.{}", &digest[2..]),
            format!("{until}.{digest}00"),
            format!("{later:x}.{digest}"),
            format!("{until}.ü{digest}"),
            format!("-{until}.{digest}"),
        ];
        for token in wrong {
            assert_eq!(signer.check(&token, &order, now), Err(TokenRefusal::Wrong), "{token}");
        }
    }
}
