//! The same as JSON.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::pages::{genres, known_film};
use super::problem::Problem;
use super::sessions::Cookie;

type Answer = Result<Response, Problem>;

pub(crate) async fn all_genres(State(app): State<App>) -> Answer {
    app.work(|parts| json(StatusCode::OK, &genres(parts)?)).await
}

pub(crate) async fn film(State(app): State<App>, Path(id): Path<String>) -> Answer {
    app.work(move |parts| json(StatusCode::OK, &known_film(parts, &id)?)).await
}

/// What the visitor wants to watch.
pub(crate) async fn watchlist(State(app): State<App>, cookie: Cookie) -> Answer {
    #[derive(Serialize)]
    struct Nobody {
        error: &'static str,
    }
    app.work(move |parts| {
        let session = parts.session(&cookie)?;
        match session.and_then(|session| session.visitor) {
            Some(visitor) => json(StatusCode::OK, &parts.db.watchlist(visitor.id)?),
            None => json(StatusCode::UNAUTHORIZED, &Nobody { error: "sign in first" }),
        }
    })
    .await
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(Problem::broken)?;
    Ok((status, [(CONTENT_TYPE, "application/json")], text).into_response())
}
