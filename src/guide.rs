//! The chapters of the guide, whose code runs as doctests of this crate, each with the features it needs.
//!
//! `tests/suite/guide.rs` sees to it that no chapter with code is left out.

macro_rules! chapters {
    ($($(#[$feature:meta])* $name:ident = $file:literal,)*) => {
        $(
            $(#[$feature])*
            #[doc = include_str!(concat!("../docs/src/", $file))]
            struct $name;
        )*
    };
}

chapters! {
    #[cfg(all(feature = "axum", feature = "watch"))]
    GettingStarted = "getting-started.md",
    Keys = "keys.md",
    #[cfg(feature = "shared")]
    Invalidation = "invalidation.md",
    #[cfg(feature = "watch")]
    Freshness = "freshness.md",
    #[cfg(feature = "axum")]
    Handlers = "handlers.md",
    #[cfg(feature = "redis")]
    Shared = "shared.md",
    #[cfg(all(feature = "axum", feature = "http"))]
    Http = "http.md",
    #[cfg(feature = "redis")]
    Configuration = "configuration.md",
    #[cfg(all(feature = "axum", feature = "http", feature = "shared"))]
    Monitoring = "monitoring.md",
    #[cfg(feature = "metrics")]
    Telemetry = "telemetry.md",
    #[cfg(feature = "shared")]
    Testing = "testing.md",
    Pitfalls = "pitfalls.md",
    Limits = "limits.md",
    HowItWorks = "how-it-works.md",
    #[cfg(all(feature = "axum", feature = "http"))]
    MigratingFlask = "migrating-flask.md",
    #[cfg(all(feature = "axum", feature = "http"))]
    MigratingDjango = "migrating-django.md",
    MigratingRails = "migrating-rails.md",
    MigratingTwig = "migrating-twig.md",
}
