//! The request that a hole is filled for, and the type of the functions that fill holes.
//!
//! `fill_holes.rs` calls the functions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap, Uri};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type HoleFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Fills the holes of one name.
pub(super) type FillHole = Arc<dyn Fn(HoleRequest) -> HoleFuture + Send + Sync>;

/// The request that a hole is filled for, with all its cookies and headers.
pub struct HoleRequest {
    parts: Parts,
    arguments: Vec<String>,
}

impl HoleRequest {
    pub(super) fn new(request: &Parts, arguments: &[String]) -> HoleRequest {
        HoleRequest { parts: request.clone(), arguments: arguments.to_vec() }
    }

    /// The headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The request target.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The extensions that other layers added to the request.
    pub fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// An argument of `cache_hole` behind the name, as text; the first one is at 0. Arguments are stored with the page,
    /// so they are the same for all visitors.
    pub fn argument(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).map(String::as_str)
    }
}

impl fmt::Debug for HoleRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoleRequest").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

/// Boxes a function of the application that fills holes.
pub(super) fn boxed_fill<F, Fut, T, E>(fill: F) -> FillHole
where
    F: Fn(HoleRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<String>,
    E: Into<BoxError>,
{
    Arc::new(move |request| {
        let filling = fill(request);
        Box::pin(async move { filling.await.map(Into::into).map_err(Into::into) })
    })
}
