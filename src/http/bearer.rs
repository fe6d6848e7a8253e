//! Callers that present an access token (RFC 6750 §2.1) or an API key. In a header only: a token in a URL or a body is ignored.
//!
//! A key is presented as `X-API-Key` or as a Bearer token. It reaches what only reads; whatever manages an account demands a
//! session, of a key as of a token that a key was exchanged for. A value of `X-API-Key` that is no key of ours is somebody
//! else's: gateways have keys by that name.
//!
//! Who may call a route, its row in the table says ([`routes`]), and [`guard`] stands before it. A handler takes the same caller as
//! its row names.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use zeroize::Zeroizing;

use crate::access::scope::Scope;
use crate::access::step_up::Demand;
use crate::access::{Caller, NoAdministrator};
use crate::account::User;
use crate::api_key;
use crate::api_key::key::ApiKey;
use crate::app::App;
use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::http::origin::Origin;
use crate::routes;
use crate::session;
use crate::token::claims::Holder;

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

/// A caller who may read what is their user's own: like [`AccountOrActor`], or an API key, or a token that one was exchanged
/// for.
pub struct Reader {
    /// Their account as it is now.
    pub user: User,
}

/// A caller who administers Signet: signed in still, with the role `admin` as of now and the scope `admin`.
pub struct Admin {
    /// Who asks, for decisions.
    pub caller: Caller,
    /// The same for the trail.
    pub by: Actor,
}

/// Stands before a route: lets through whom its row in the table names, and keeps them for the handler. Nothing else of the request
/// is read before, so that nobody learns what would have been made of it, or has a body parsed that they may not send.
///
/// # Errors
/// Those of the row's caller: [`refusals`] and so on.
pub async fn guard<B>(
    named: routes::Caller,
    demand: Demand,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    use routes::Caller::{self as Named, AnyToken, Anyone, AnyoneAnywhere, RefreshToken};
    let http = request.request();
    match named {
        Named::Account => keep(http, account(http, demand).await?),
        Named::AccountOrActor => keep(http, authenticate(http, demand).await?),
        Named::AccountOrKey => keep(http, reader(http).await?),
        Named::Admin => keep(http, administrator(http, demand).await?),
        AnyToken | Anyone | AnyoneAnywhere | RefreshToken => {}
    }
    next.call(request).await
}

fn keep(http: &HttpRequest, caller: impl Sized + 'static) {
    http.extensions_mut().insert(caller);
}

/// Whom [`guard`] let through.
macro_rules! kept {
    ($($caller:ty),*) => {$(
        impl FromRequest for $caller {
            type Error = Error;
            type Future = Ready<Result<Self>>;

            fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
                let kept = http.extensions_mut().remove::<Self>();
                ready(kept.ok_or_else(|| {
                    tracing::error!("a defect: the handler wants another caller than its row in the table names");
                    Error::Internal
                }))
            }
        }
    )*};
}
kept!(Account, AccountOrActor, Reader, Admin);

async fn account(http: &HttpRequest, demand: Demand) -> Result<Account> {
    let AccountOrActor { caller, user } = authenticate(http, demand).await?;
    if caller.actor.is_some() { Err(NOT_FOR_ANOTHER) } else { Ok(Account { caller, user }) }
}

async fn administrator(http: &HttpRequest, demand: Demand) -> Result<Admin> {
    let (caller, _) = signed_in(http).await?;
    caller.administers().map_err(|lacking| match lacking {
        NoAdministrator::WithoutRole => ADMINISTRATORS_ONLY,
        NoAdministrator::WithoutScope => Error::InsufficientScope(Scope::ADMIN),
    })?;
    judge_log_in(http, demand, &caller)?;
    let by = Actor::admin(&caller, Origin::extract(http).await?);
    Ok(Admin { caller, by })
}

async fn reader(http: &HttpRequest) -> Result<Reader> {
    let (user, may) = match identify(http).await? {
        Identified::Session(caller, user) => (user, caller.may(Scope::ACCOUNT)),
        Identified::ApiKey { user, scope } => (user, scope.contains(Scope::ACCOUNT)),
    };
    if may { Ok(Reader { user }) } else { Err(Error::InsufficientScope(Scope::ACCOUNT)) }
}

fn application(http: &HttpRequest) -> &Data<App> {
    http.app_data::<Data<App>>().expect("every listener carries the application")
}

/// Verifies the token, finds who stands behind it, demands the scope `account`, and judges their log-in.
///
/// # Errors
/// [`Error::MissingToken`], [`Error::InvalidToken`], [`Error::Forbidden`] for API keys, [`Error::InsufficientScope`],
/// [`Error::InsufficientAuthentication`].
pub async fn authenticate(http: &HttpRequest, demand: Demand) -> Result<AccountOrActor> {
    let (caller, user) = signed_in(http).await?;
    if !caller.may(Scope::ACCOUNT) {
        return Err(Error::InsufficientScope(Scope::ACCOUNT));
    }
    judge_log_in(http, demand, &caller)?;
    Ok(AccountOrActor { caller, user })
}

/// Whether the log-in behind a token is as fresh and as strong as the route demands.
fn judge_log_in(http: &HttpRequest, demand: Demand, caller: &Caller) -> Result<()> {
    let app = application(http);
    let freshness = demand.freshness(&app.config.step_up);
    if freshness.admits(caller.authentication, app.clock.now()) {
        Ok(())
    } else {
        Err(Error::InsufficientAuthentication(freshness))
    }
}

async fn signed_in(http: &HttpRequest) -> Result<(Caller, User)> {
    match identify(http).await? {
        Identified::Session(caller, user) => Ok((caller, user)),
        Identified::ApiKey { .. } => Err(NOT_BY_KEY),
    }
}

/// Who stands behind what a request presents.
enum Identified {
    Session(Caller, User),
    ApiKey { user: User, scope: Scope },
}

async fn identify(http: &HttpRequest) -> Result<Identified> {
    let app = application(http);
    let token = match presented(http)? {
        Credential::ApiKey(key) => {
            let from = Origin::extract(http).await?;
            let holder = api_key::presented::authenticate(app, &key, &from).await?.ok_or(Error::InvalidToken)?;
            return Ok(Identified::ApiKey { user: holder.user, scope: holder.scope });
        }
        Credential::AccessToken(token) => token,
    };
    let claims = app.verifier.verify(&token, app.clock.now()).map_err(|_| Error::InvalidToken)?;
    match claims.holder().ok_or(Error::InvalidToken)? {
        Holder::Session(id) => {
            let (caller, user) = session::caller::find(app, id, &claims).await?;
            Ok(Identified::Session(caller, user))
        }
        Holder::ApiKey(id) => {
            let (user, scope) = api_key::presented::find(app, id, claims.sub, &claims.scope).await?;
            Ok(Identified::ApiKey { user, scope })
        }
    }
}

const TWICE: Error = Error::InvalidRequest(Cow::Borrowed("there is more than one Authorization or X-API-Key header"));

const TWO: Error = Error::InvalidRequest(Cow::Borrowed("there is an API key beside the Authorization header"));
const NOT_BY_KEY: Error = Error::Forbidden("an API key does not reach this; log in");
const NOT_FOR_ANOTHER: Error = Error::Forbidden("only the users themselves can do this, and nobody for them");
const ADMINISTRATORS_ONLY: Error = Error::Forbidden("this is for administrators");

/// What [`Reader`] can say about a request.
pub fn refusals_to_read() -> Vec<Error> {
    vec![TWICE, TWO, Error::MissingToken, Error::InvalidToken, Error::InsufficientScope(Scope::ACCOUNT)]
}

/// What [`AccountOrActor`] can say about a request.
pub fn refusals_to_actors() -> Vec<Error> {
    refusals_to_read().into_iter().chain([NOT_BY_KEY]).collect()
}

/// What [`Account`] can say about a request.
pub fn refusals() -> Vec<Error> {
    refusals_to_actors().into_iter().chain([NOT_FOR_ANOTHER]).collect()
}

/// What [`Admin`] can say about a request.
pub fn refusals_to_administer() -> Vec<Error> {
    let lacking = Error::InsufficientScope(Scope::ADMIN);
    vec![TWICE, TWO, Error::MissingToken, Error::InvalidToken, NOT_BY_KEY, ADMINISTRATORS_ONLY, lacking]
}

/// Whether there is an `Authorization` header at all.
pub fn is_presented(http: &HttpRequest) -> bool {
    http.headers().contains_key(header::AUTHORIZATION)
}

/// What a request presents.
enum Credential {
    AccessToken(String),
    ApiKey(Zeroizing<String>),
}

/// The header for API keys.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn presented(http: &HttpRequest) -> Result<Credential> {
    let sent = http.headers().get_all(API_KEY).filter_map(|value| value.to_str().ok());
    let mut ours = sent.filter(|value| ApiKey::is_meant(value));
    match (ours.next(), is_presented(http)) {
        (None, _) => bearer(http),
        (Some(_), true) => Err(TWO),
        (Some(_), false) if ours.next().is_some() => Err(TWICE),
        (Some(key), false) => Ok(Credential::ApiKey(Zeroizing::new(key.to_owned()))),
    }
}

fn bearer(http: &HttpRequest) -> Result<Credential> {
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
    let token = token.trim_start_matches(' ').to_owned();
    Ok(if ApiKey::is_meant(&token) { Credential::ApiKey(token.into()) } else { Credential::AccessToken(token) })
}
