//! Callers that present an access token (RFC 6750 §2.1). In the header only: a token in a URL or a body is ignored.

use std::borrow::Cow;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use crate::access::Caller;
use crate::access::scope::Scope;
use crate::account::User;
use crate::app::App;
use crate::error::{Error, Result};
use crate::routes;
use crate::session;

/// A caller who may reach their own account here: verified, signed in still, and with the scope `account`.
pub struct Account {
    /// Who asks, for decisions.
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
            let app = http.app_data::<Data<App>>().expect("every listener carries the application");
            authenticate(app, &http).await
        })
    }
}

/// Verifies the token, finds who stands behind it, and judges their log-in by what the route demands.
///
/// # Errors
/// [`Error::MissingToken`], [`Error::InvalidToken`], [`Error::InsufficientScope`], [`Error::InsufficientAuthentication`].
pub async fn authenticate(app: &App, http: &HttpRequest) -> Result<Account> {
    let token = presented(http)?;
    let claims = app.verifier.verify(&token, app.clock.now()).map_err(|_| Error::InvalidToken)?;
    let (caller, user) = session::caller::find(app, claims).await?;
    if !caller.may(Scope::ACCOUNT) {
        return Err(Error::InsufficientScope(Scope::ACCOUNT));
    }
    let freshness = routes::demand_of(http).freshness(&app.config.step_up);
    if !freshness.admits(caller.authentication, app.clock.now()) {
        return Err(Error::InsufficientAuthentication(freshness));
    }
    Ok(Account { caller, user })
}

const TWICE: Error = Error::InvalidRequest(Cow::Borrowed("there is more than one Authorization header"));

/// What [`authenticate`] can say about a request.
pub fn refusals() -> [Error; 4] {
    [TWICE, Error::MissingToken, Error::InvalidToken, Error::InsufficientScope(Scope::ACCOUNT)]
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
