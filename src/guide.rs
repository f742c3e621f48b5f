//! The chapters of the guide, whose code runs as doctests of this crate, each with the features it needs.
//!
//! `tests/suite/guide.rs` sees to it that no chapter with code is left out.

macro_rules! chapters {
    ($($(#[$feature:meta])* $file:literal $name:ident,)*) => {
        $(
            $(#[$feature])*
            #[doc = include_str!(concat!("../docs/src/", $file))]
            struct $name;
        )*
    };
}

chapters! {
    #[cfg(all(feature = "axum", feature = "watch"))]
    "getting-started.md" GettingStarted,
    "keys.md" Keys,
    #[cfg(feature = "shared")]
    "invalidation.md" Invalidation,
    #[cfg(feature = "watch")]
    "freshness.md" Freshness,
    #[cfg(all(feature = "axum", feature = "http"))]
    "http.md" Http,
}
