//! What lowered templates call: the one place where the compile side's output meets the cache.
//!
//! `register.rs` registers all of it with an environment, `binding.rs` is the tie between the two. `block.rs` is behind cache
//! blocks, `functions.rs` behind the functions that templates call by themselves; `arguments.rs` reads arguments. `rendering.rs`
//! and `renders.rs` know the renders under way, `look_ups.rs` the templates looked up.

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
