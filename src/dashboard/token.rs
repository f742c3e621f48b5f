//! Tokens that prove a form was ours: of one order, one dashboard and the next ten minutes.
//!
//! There is no session to bind one to, so it is a keyed digest of what is to be done and until when. Who cannot read
//! our pages cannot have one, and one that leaks is good for what it was made for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::order::Order;
use crate::cache::FragmentCache;
use crate::error::{Error, ErrorKind};

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(600);

/// Keeps digests of ours apart from any that others make with the same secret.
const DOMAIN: &[u8] = b"minijinja-cache dashboard 1";

pub(super) struct Signer {
    secret: Vec<u8>,
    namespace: String,
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    Expired,
    Wrong,
}

impl Signer {
    /// `None`, and the cache is told, when there is nothing random to be had.
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
        // In constant time.
        self.digest(order, until).verify_slice(&digest).map_err(|_| TokenRefusal::Wrong)?;
        let now = seconds(now);
        if (now..=now + LIFE.as_secs()).contains(&until) { Ok(()) } else { Err(TokenRefusal::Expired) }
    }

    fn digest(&self, order: &Order, until: u64) -> Hmac<Sha256> {
        // A key of any length will do.
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
    fn a_token_is_good_for_its_order_and_ten_minutes() {
        let cache = FragmentCache::builder().build().unwrap();
        let signer = Signer::new(None, &cache).unwrap();
        let (films, users) = (order(&cache, "kind=tag&value=films"), order(&cache, "kind=tag&value=users"));
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let token = signer.token(&films, now);
        assert_eq!(signer.check(&token, &films, now), Ok(()));
        assert_eq!(signer.check(&token, &films, now + LIFE), Ok(()));
        assert_eq!(signer.check(&token, &films, now + LIFE + Duration::from_secs(1)), Err(TokenRefusal::Expired));
        // From the future: the clock was set back by more than its life.
        assert_eq!(signer.check(&token, &films, now - LIFE), Err(TokenRefusal::Expired));
        assert_eq!(signer.check(&token, &users, now), Err(TokenRefusal::Wrong));
        for form in ["kind=template&value=films", "kind=tag&value=films&namespace=a", "kind=everything"] {
            assert_eq!(signer.check(&token, &order(&cache, form), now), Err(TokenRefusal::Wrong), "{form}");
        }
    }

    #[test]
    fn a_token_of_another_dashboard_is_none() {
        let cache = FragmentCache::builder().build().unwrap();
        let order = order(&cache, "kind=everything");
        let now = SystemTime::now();
        let signer = |secret: Option<&[u8]>, cache: &FragmentCache| Signer::new(secret, cache).unwrap();
        let token = signer(None, &cache).token(&order, now);
        assert_eq!(signer(None, &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
        // An empty secret is none.
        let token = signer(Some(b""), &cache).token(&order, now);
        assert_eq!(signer(Some(b""), &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
        // Two processes of one application.
        let token = signer(Some(b"secret"), &cache).token(&order, now);
        assert_eq!(signer(Some(b"secret"), &cache).check(&token, &order, now), Ok(()));
        assert_eq!(signer(Some(b"secret"), &cache.namespace("a")).check(&token, &order, now), Err(TokenRefusal::Wrong));
        assert_eq!(signer(Some(&[7; 500]), &cache).check(&token, &order, now), Err(TokenRefusal::Wrong));
    }

    #[test]
    fn what_is_no_token_is_refused() {
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
