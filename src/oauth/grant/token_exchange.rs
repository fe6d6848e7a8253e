//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): an API key for a short access token.
//!
//! So a program, or a gateway in front of a service, presents the key here and nowhere else, and every service goes on
//! verifying tokens offline. RFC 8693 §2.2.2 has `invalid_request` for a subject token that does not work.

use crate::access::scope::Scope;
use crate::api_key::presented;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::form::Form;
use crate::http::origin::Origin;
use crate::oauth::client::Client;
use crate::token::issue::{ACCESS_TOKEN_TYPE, Exchanged};

/// How clients ask for it.
pub(in crate::oauth) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// What an API key is called here.
pub(in crate::oauth) const API_KEY_TYPE: &str = "urn:signet:params:oauth:token-type:api-key";

const REFUSED: &str = "the subject_token is invalid, expired or revoked";

/// Exchanges the form's key for an access token with the key's scope, or as much of it as is asked for.
pub(in crate::oauth) async fn run(
    app: &App,
    client: Option<Client>,
    requested: Option<Scope>,
    form: &mut Form,
    from: &Origin,
) -> Result<Exchanged> {
    let subject_token = form.require("subject_token", "subject_token is missing")?;
    accept(app, form)?;
    let client_id = match client {
        Some(client) if client.is_registered(&app.config) => client.id,
        Some(_) => return Err(Error::InvalidClient),
        None => app.config.oauth.default_client.clone(),
    };
    let holder = presented::authenticate(app, &subject_token, from).await?;
    let holder = holder.ok_or(Error::invalid_request(REFUSED))?;
    // A key whose user lost the roles that carried its words is good for nothing: that is said here, not by each service.
    let scope = holder.scope.narrowed_to(requested.as_ref()).ok().filter(|scope| !scope.is_empty());
    app.issuer.exchanged(&holder, scope.ok_or(Error::InvalidScope)?, client_id)
}

/// Whether what is asked for is what there is.
fn accept(app: &App, form: &mut Form) -> Result<()> {
    if *form.require("subject_token_type", "subject_token_type is missing")? != *API_KEY_TYPE {
        return Err(Error::invalid_request("a subject_token of this type cannot be exchanged here"));
    }
    if form.take("requested_token_type").is_some_and(|requested| *requested != *ACCESS_TOKEN_TYPE) {
        return Err(Error::invalid_request("only an access token is given in exchange"));
    }
    if form.take("actor_token").is_some() || form.take("actor_token_type").is_some() {
        return Err(Error::invalid_request("a key speaks for its user alone: there is no actor"));
    }
    let is_other = |target: &str| target != app.config.audience();
    if ["audience", "resource"].into_iter().filter_map(|name| form.take(name)).any(|target| is_other(&target)) {
        return Err(Error::InvalidTarget);
    }
    Ok(())
}
