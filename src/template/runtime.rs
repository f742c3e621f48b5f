//! The tests, filters and functions that lowered templates call. Here the output of `compile` meets the cache.
//!
//! `register.rs` registers them with an environment, and `binding.rs` holds the environment's reference to the cache.
//! `block.rs` implements cache blocks and `body.rs` their open bodies. `functions.rs` implements the functions that
//! authors call, and `arguments.rs` and `key.rs` read arguments and keys. `caller.rs` adapts a template to the cache's
//! `Caller`. `rendering.rs` and `renders.rs` track the running renders, `look_ups.rs` the template look-ups.
//! `foreign.rs` checks text that other templates provide, `lazy_key.rs` keys with lazy values. `captured.rs` and
//! `marking.rs` serve debug marks, `probes.rs` the profile.

mod arguments;
mod binding;
mod block;
mod body;
mod caller;
mod captured;
mod foreign;
mod functions;
mod key;
mod lazy_key;
pub(crate) mod look_ups;
mod marking;
mod probes;
mod register;
mod rendering;
pub(crate) mod renders;

pub(crate) use self::binding::environment_id;
pub(crate) use self::caller::EnvironmentCaller;
