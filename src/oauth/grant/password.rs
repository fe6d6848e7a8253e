//! `grant_type=password` (RFC 6749 §4.3), off unless `oauth.password_grant` is set.
//!
//! OAuth 2.1 drops it, since it trains users to hand their password to other programs. FastAPI's `OAuth2PasswordBearer`
//! and Swagger's "Authorize" button know nothing else. It has no second step, so accounts with a second factor are refused.

use crate::access::scope::Scope;
use crate::account::email::Email;
use crate::account::password::Password;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::form::Form;
use crate::http::origin::Origin;
use crate::oauth::client::Client;
use crate::session::login;
use crate::session::open::{Opened, Terms};
use crate::throttle::device::{Device, DeviceToken};

/// Logs in with `username`, which is the e-mail address, and `password`.
pub(in crate::oauth) async fn run(
    app: &App,
    client: Option<Client>,
    scope: Option<Scope>,
    form: &mut Form,
    from: Origin,
) -> Result<Opened> {
    if !app.config.oauth.password_grant {
        return Err(Error::UnsupportedGrantType);
    }
    let username = form.require("username", "username is missing")?;
    let password = form.require("password", "password is missing")?;
    // What is no address and what is no password belong to no account.
    let email = Email::parse(&username).map_err(|_| Error::InvalidCredentials)?;
    let password = Password::parse(&password).map_err(|_| Error::InvalidCredentials)?;
    let shown = form.take("device_token").and_then(|text| DeviceToken::parse(&text));
    let mut terms = Terms::first_party(app, None).with_device(Device { shown, is_wanted: false });
    // What nobody may have is refused; of the rest, the user gets what their roles carry.
    app.rights.all().narrowed_to(scope.as_ref()).map_err(|_| Error::InvalidScope)?;
    terms.requested = scope;
    if let Some(client) = client {
        if !client.is_registered(&app.config) {
            return Err(Error::InvalidClient);
        }
        terms.client_id = client.id;
    }
    login::log_in(app, email, &password, terms, from).await
}
