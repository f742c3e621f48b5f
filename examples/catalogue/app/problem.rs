//! What goes wrong with a request, as a page in words.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use minijinja::context;

use super::Parts;

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
    fn broken(error: impl std::fmt::Display) -> Problem {
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
        match self.page {
            Some(page) => (self.status, Html(page)).into_response(),
            None => (self.status, format!("{}: {}\n", self.title, self.message)).into_response(),
        }
    }
}
