//! What goes wrong with a request, as a page in words.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use minijinja::context;

use super::{App, Parts};

/// How much of the framework's own explanation is kept, in bytes.
const LONGEST_EXPLANATION: usize = 1000;

#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    message: String,
    /// The page, once a template made it.
    page: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, message: impl Into<String>) -> Problem {
        Problem { status, title, message: message.into(), page: None }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "Not in the catalogue", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "That request makes no sense", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "Not allowed", message)
    }

    pub(crate) fn panicked() -> Problem {
        Problem::broken("the request ended unexpectedly")
    }

    /// Something is wrong on our side: the visitor is told so, the log is told what.
    pub(crate) fn broken(error: impl std::fmt::Display) -> Problem {
        eprintln!("catalogue: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "The fault is ours. Please try again.")
    }

    /// With the page that shows it.
    pub(crate) fn described(mut self, parts: &Parts) -> Problem {
        let context =
            context! { title => self.title, message => self.message.as_str(), status => self.status.as_u16() };
        self.page = parts.templates.render("problem.html", context).ok();
        self
    }
}

/// Marks an answer that is a problem of ours already.
#[derive(Clone)]
struct Described;

/// Shows what the framework refuses (a broken address, a form that is none, a method nobody expects) as a page too, and
/// has browsers take every page for what it says it is.
pub(crate) async fn in_words(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && response.extensions().get::<Described>().is_none() {
        response = refusal(app, status, response).await;
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn refusal(app: App, status: StatusCode, refused: Response) -> Response {
    let (mut parts, body) = refused.into_parts();
    let text = to_bytes(body, LONGEST_EXPLANATION).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let message = if text.is_empty() { format!("The answer to that is “{status}”.") } else { text };
    let problem = Problem::new(status, "That request makes no sense", message);
    let (page, body) = app.work(|_| Err::<(), _>(problem)).await.into_response().into_parts();
    if let Some(kind) = page.headers.get(CONTENT_TYPE) {
        parts.headers.insert(CONTENT_TYPE, kind.clone());
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, body)
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Problem {
        Problem::broken(error)
    }
}

impl From<minijinja::Error> for Problem {
    fn from(error: minijinja::Error) -> Problem {
        Problem::broken(format_args!("{error:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = match self.page {
            Some(page) => (self.status, Html(page)).into_response(),
            None => (self.status, format!("{}: {}\n", self.title, self.message)).into_response(),
        };
        response.extensions_mut().insert(Described);
        response
    }
}
