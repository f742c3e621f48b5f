//! Binds an environment to a cache. `register.rs` makes the binding.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::cache::{Engine, FragmentCache};

/// Filter: returns the id of the cache and the id of the environment in it.
pub(super) const ENVIRONMENT: &str = "_f.environment";

/// The reference of an environment to its cache.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(super) cache: FragmentCache,
    pub(super) environment: u64,
    /// Whether the environment was checked to have the syntax of the cache's loaders.
    pub(super) syntax_checked: Arc<AtomicBool>,
}

/// The id of an environment in a cache. Fails if the environment is not registered with this cache.
pub(crate) fn environment_id(env: &Environment<'_>, cache: &Engine) -> Result<u64, Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidOperation, why.to_owned()));
    let Ok(ids) = env.empty_state().apply_filter(ENVIRONMENT, &[Value::from(())]) else {
        return refuse("the environment is not registered with a fragment cache: call add_to_environment first");
    };
    let id = |at| ids.get_item_by_index(at).ok().and_then(|id| u64::try_from(id).ok());
    match (id(0), id(1)) {
        (Some(of), Some(environment)) if of == cache.id => {
            cache.check_auto_reload(env)?;
            Ok(environment)
        }
        _ => refuse("the environment is registered with another fragment cache"),
    }
}
