//! Scenarios, and the macro that makes a test of each. `steps.rs` has the steps.

use std::time::Duration;

use super::steps::Step;

/// The level of a test in the public suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// The standard demands it.
    Required,
    /// The standard allows it, and a good cache does it.
    Optimal,
    /// The suite only observes the behaviour.
    Optional,
}

/// How the layer is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setup {
    pub(super) honor_reload: bool,
    pub(super) ttl: Option<Duration>,
}

/// A layer that obeys a client's wish for a younger or an older page.
pub(super) fn reload() -> Setup {
    Setup { honor_reload: true, ..Setup::default() }
}

/// A layer with a lifetime of its own for pages that bring none.
pub(super) fn ttl(seconds: u64) -> Setup {
    Setup { ttl: Some(Duration::from_secs(seconds)), ..Setup::default() }
}

/// A sequence of requests to the layer, and the expected responses.
#[derive(Clone)]
pub(super) struct Scenario {
    /// The test's name, which opens with the section: `rfc9111_5_2_2_10_…`.
    pub(super) name: &'static str,
    /// The public suite's id; `None` for one of our own.
    pub(super) id: Option<&'static str>,
    pub(super) level: Level,
    /// Why the layer differs from the suite.
    pub(super) differs: Option<&'static str>,
    pub(super) setup: Setup,
    pub(super) steps: fn() -> Vec<Step>,
}

impl Scenario {
    /// `RFC 9111 §5.2.2.10`.
    pub(super) fn section(&self) -> String {
        let mut words = self.name.split('_');
        let document = words.next().and_then(|word| word.strip_prefix("rfc")).expect("a name opens with its document");
        let numbers: Vec<&str> = words.take_while(|word| word.bytes().all(|byte| byte.is_ascii_digit())).collect();
        format!("RFC {document} §{}", numbers.join("."))
    }

    /// The name as a sentence, without the section.
    pub(super) fn sentence(&self) -> String {
        let words = self.name.split('_').skip(1);
        words.skip_while(|word| word.bytes().all(|byte| byte.is_ascii_digit())).collect::<Vec<_>>().join(" ")
    }
}

/// `Level ["suite-id"] test_name [differs "why"] [with setup] => [steps];` for each scenario.
macro_rules! scenarios {
    ($(
        $level:ident $($id:literal)? $name:ident $(differs $why:tt)? $(with $setup:expr)? => [$($step:expr),* $(,)?];
    )*) => {
        pub(super) fn all() -> Vec<$crate::conformance::scenario::Scenario> {
            vec![$(
                $crate::conformance::scenario::Scenario {
                    name: stringify!($name),
                    id: scenarios!(@option $($id)?),
                    level: $crate::conformance::scenario::Level::$level,
                    differs: scenarios!(@option $($why)?),
                    setup: scenarios!(@setup $($setup)?),
                    steps: || vec![$($step.into()),*],
                },
            )*]
        }

        $(
            #[test]
            fn $name() {
                let scenario = all().into_iter().find(|scenario| scenario.name == stringify!($name));
                $crate::conformance::driver::run(&scenario.expect("the table has it"));
            }
        )*
    };
    (@option) => { None };
    (@option $value:tt) => { Some($value) };
    (@setup) => { $crate::conformance::scenario::Setup::default() };
    (@setup $setup:expr) => { $setup };
}
