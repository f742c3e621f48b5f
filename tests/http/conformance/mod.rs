//! Conformance of the HTTP layer with RFC 9111 and its relatives: a table of scenarios, each a test of its own.
//!
//! A scenario with an id corresponds to the test with that id in the public HTTP cache tests. It expects the same
//! behaviour, or deliberately another one, with the reason beside it. `docs/src/http-conformance.md` is rendered from the
//! scenarios and from `suite.txt`, the measured results of the suite.

#[macro_use]
mod scenario;
mod driver;
mod handler;
mod steps;
mod suite;
mod table;

mod ages;
mod conditional;
mod elsewhere;
mod expires;
mod freshness;
mod head;
mod headers;
mod heuristics;
mod invalidation;
mod keys;
mod parsing;
mod partial;
mod privacy;
mod reporting;
mod requests;
mod responses;
mod stale;
mod status;
mod targeted;
mod together;
mod vary;

use scenario::Scenario;

/// Every scenario, in the table's order.
fn all() -> Vec<Scenario> {
    [
        freshness::all(),
        parsing::all(),
        ages::all(),
        expires::all(),
        responses::all(),
        heuristics::all(),
        status::all(),
        requests::all(),
        vary::all(),
        conditional::all(),
        head::all(),
        headers::all(),
        keys::all(),
        privacy::all(),
        invalidation::all(),
        partial::all(),
        stale::all(),
        together::all(),
        reporting::all(),
        targeted::all(),
    ]
    .concat()
}
