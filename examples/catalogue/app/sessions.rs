//! Signing in and out. A demonstration: a name is enough, so the only secret is the session's id.

use std::convert::Infallible;

use axum::Form;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request;
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Deserialize;

use super::problem::Problem;
use super::visitors::{Session, Visitor};
use super::{App, Parts};

pub(crate) const COOKIE_NAME: &str = "catalogue";
const LONGEST_NAME: usize = 40;

/// The session id a browser sent, if any; anybody can send anything.
pub(crate) struct Cookie(Option<String>);

impl<S: Sync> FromRequestParts<S> for Cookie {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Cookie, Infallible> {
        let cookies = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let ours = pairs.into_iter().find(|(name, _)| *name == COOKIE_NAME);
        Ok(Cookie(ours.map(|(_, id)| id.to_owned())))
    }
}

impl Parts {
    pub(crate) fn session(&self, cookie: &Cookie) -> Result<Option<Session>, Problem> {
        let Some(id) = &cookie.0 else { return Ok(None) };
        let session = self.db.session(id)?;
        if let Some(visitor) = session.as_ref().and_then(|session| session.visitor.as_ref()) {
            // Whatever is made for him ends when he signs out.
            self.cache.current_scope().tag(visitor.tag());
        }
        Ok(session)
    }

    /// The session of somebody signed in, whose form this is.
    pub(crate) fn signed_in(&self, cookie: &Cookie, csrf: &str) -> Result<(Session, Visitor), Problem> {
        let session = self.session(cookie)?;
        let Some((session, visitor)) = session.and_then(|session| session.visitor.clone().map(|who| (session, who)))
        else {
            return Err(Problem::forbidden("Please sign in first."));
        };
        if session.csrf != csrf {
            return Err(Problem::forbidden(
                "That form was not ours, or is from an earlier visit. Please open the page again.",
            ));
        }
        Ok((session, visitor))
    }
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    name: String,
    #[serde(default)]
    csrf: String,
}

#[derive(Deserialize)]
pub(crate) struct Logout {
    #[serde(default)]
    csrf: String,
}

pub(crate) async fn form(State(app): State<App>, cookie: Cookie) -> Result<Response, Problem> {
    app.work(move |parts| {
        let known = parts.session(&cookie)?;
        let fresh = known.is_none();
        let session = match known {
            Some(session) => session,
            None => open(parts, None)?,
        };
        let page = login_page(parts, &session, "", None)?;
        Ok(if fresh { with_cookie(&session.id, Html(page)) } else { Html(page).into_response() })
    })
    .await
}

pub(crate) async fn login(
    State(app): State<App>,
    cookie: Cookie,
    Form(login): Form<Login>,
) -> Result<Response, Problem> {
    app.work(move |parts| {
        let session = parts.session(&cookie)?.filter(|session| session.csrf == login.csrf);
        let Some(session) = session else {
            return Err(Problem::forbidden(
                "That form was not ours, or is from an earlier visit. Please sign in again.",
            ));
        };
        let name = login.name.trim();
        if let Some(fault) = fault_of(name) {
            return Ok(Html(login_page(parts, &session, &login.name, Some(fault))?).into_response());
        }
        let Some(visitor) = parts.db.visitor(name)? else {
            return Err(Problem::bad_request("That name could not be remembered."));
        };
        // A new id: whoever planted the old one does not know it.
        parts.db.end_session(&session.id)?;
        let session = open(parts, Some(visitor))?;
        Ok(with_cookie(&session.id, Redirect::to("/watchlist")))
    })
    .await
}

pub(crate) async fn logout(
    State(app): State<App>,
    cookie: Cookie,
    Form(logout): Form<Logout>,
) -> Result<Response, Problem> {
    app.work(move |parts| {
        let (session, visitor) = parts.signed_in(&cookie, &logout.csrf)?;
        parts.db.end_session(&session.id)?;
        parts.cache.invalidate_tag(&visitor.tag());
        let expired = format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        Ok(([(SET_COOKIE, expired)], Redirect::to("/")).into_response())
    })
    .await
}

fn login_page(parts: &Parts, session: &Session, name: &str, fault: Option<&str>) -> Result<String, Problem> {
    let (visitor, csrf) = (&session.visitor, &session.csrf);
    let visitor = Value::from(Serde(visitor));
    Ok(parts.templates.render("login.html", context! { visitor, csrf => csrf.as_str(), name, fault })?)
}

fn fault_of(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("Please give a name.")
    } else if name.chars().count() > LONGEST_NAME {
        Some("That name is too long; 40 characters are the most.")
    } else if name.chars().any(char::is_control) {
        Some("A name has no control characters.")
    } else {
        None
    }
}

fn open(parts: &Parts, visitor: Option<Visitor>) -> Result<Session, Problem> {
    let session = Session { id: random()?, csrf: random()?, visitor };
    parts.db.add_session(&session)?;
    Ok(session)
}

/// 128 bits nobody can guess, in hexadecimal.
fn random() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Problem::panicked())?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

fn with_cookie(id: &str, response: impl IntoResponse) -> Response {
    ([(SET_COOKIE, format!("{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Lax"))], response).into_response()
}
