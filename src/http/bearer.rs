//! Callers that present an access token (RFC 6750 §2.1). In the header only: a token in a URL or a body is ignored.

use std::borrow::Cow;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use crate::access::scope::Scope;
use crate::access::{Caller, NoAdministrator};
use crate::account::User;
use crate::app::App;
use crate::error::{Error, Result};
use crate::session;

/// A caller who may reach their own account here: verified, signed in still, with the scope `account`, and in person.
pub struct Account {
    /// Who asks, for decisions.
    pub caller: Caller,
    /// Their account as it is now.
    pub user: User,
}

/// The same, or an administrator who acts for the user. A route that hands out, changes or removes what somebody gets in with
/// takes [`Account`].
pub struct AccountOrActor {
    /// Who asks, for decisions.
    pub caller: Caller,
    /// The account as it is now.
    pub user: User,
}

/// A caller who administers Signet: signed in still, with the role `admin` as of now and the scope `admin`.
pub struct Admin {
    /// Who asks, for decisions and for the trail.
    pub caller: Caller,
    /// Their account as it is now.
    pub user: User,
}

impl FromRequest for Account {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let http = http.clone();
        Box::pin(async move {
            let AccountOrActor { caller, user } = authenticate(application(&http), &http).await?;
            if caller.actor.is_some() { Err(NOT_FOR_ANOTHER) } else { Ok(Self { caller, user }) }
        })
    }
}

impl FromRequest for AccountOrActor {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let http = http.clone();
        Box::pin(async move { authenticate(application(&http), &http).await })
    }
}

impl FromRequest for Admin {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let http = http.clone();
        Box::pin(async move {
            let (caller, user) = signed_in(application(&http), &http).await?;
            caller.administers().map_err(|lacking| match lacking {
                NoAdministrator::WithoutRole => ADMINISTRATORS_ONLY,
                NoAdministrator::WithoutScope => Error::InsufficientScope(Scope::ADMIN),
            })?;
            Ok(Self { caller, user })
        })
    }
}

fn application(http: &HttpRequest) -> &Data<App> {
    http.app_data::<Data<App>>().expect("every listener carries the application")
}

/// Verifies the token, finds who stands behind it, and demands the scope `account`.
///
/// # Errors
/// [`Error::MissingToken`], [`Error::InvalidToken`], [`Error::InsufficientScope`].
pub async fn authenticate(app: &App, http: &HttpRequest) -> Result<AccountOrActor> {
    let (caller, user) = signed_in(app, http).await?;
    if !caller.may(Scope::ACCOUNT) {
        return Err(Error::InsufficientScope(Scope::ACCOUNT));
    }
    Ok(AccountOrActor { caller, user })
}

async fn signed_in(app: &App, http: &HttpRequest) -> Result<(Caller, User)> {
    let token = presented(http)?;
    let claims = app.verifier.verify(&token, app.clock.now()).map_err(|_| Error::InvalidToken)?;
    session::caller::find(app, claims).await
}

const TWICE: Error = Error::InvalidRequest(Cow::Borrowed("there is more than one Authorization header"));

const NOT_FOR_ANOTHER: Error = Error::Forbidden("only the users themselves can do this, and nobody for them");

const ADMINISTRATORS_ONLY: Error = Error::Forbidden("this is for administrators");

/// What [`Account`] can say about a request.
pub fn refusals() -> Vec<Error> {
    let mut refusals = refusals_to_actors();
    refusals.push(NOT_FOR_ANOTHER);
    refusals
}

/// What [`AccountOrActor`] can say about a request.
pub fn refusals_to_actors() -> Vec<Error> {
    vec![TWICE, Error::MissingToken, Error::InvalidToken, Error::InsufficientScope(Scope::ACCOUNT)]
}

/// What [`Admin`] can say about a request.
pub fn refusals_to_administer() -> Vec<Error> {
    vec![TWICE, Error::MissingToken, Error::InvalidToken, ADMINISTRATORS_ONLY, Error::InsufficientScope(Scope::ADMIN)]
}

/// Whether there is an `Authorization` header at all.
pub fn is_presented(http: &HttpRequest) -> bool {
    http.headers().contains_key(header::AUTHORIZATION)
}

fn presented(http: &HttpRequest) -> Result<String> {
    let mut values = http.headers().get_all(header::AUTHORIZATION);
    let value = values.next().ok_or(Error::MissingToken)?;
    if values.next().is_some() {
        return Err(TWICE);
    }
    let value = value.to_str().map_err(|_| Error::InvalidToken)?;
    let (scheme, token) = value.split_once(' ').ok_or(Error::InvalidToken)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Error::MissingToken);
    }
    Ok(token.trim_start_matches(' ').to_owned())
}
