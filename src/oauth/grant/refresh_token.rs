//! `grant_type=refresh_token` (RFC 6749 §6): the same rotation as `/v1/auth/refresh`.

use crate::access::scope::Scope;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::form::Form;
use crate::http::origin::Origin;
use crate::oauth::client::Client;
use crate::session::Grant;
use crate::session::refresh::{self, Conditions};
use crate::session::token::RefreshToken;

/// Refreshes the session of the form's token; a client that names itself must be the one it was issued to.
pub(in crate::oauth) async fn run(
    app: &App,
    client: Option<Client>,
    scope: Option<Scope>,
    form: &mut Form,
    from: Origin,
) -> Result<Grant> {
    let token = form.require("refresh_token", "refresh_token is missing")?;
    let presented = RefreshToken::parse(&token).map_err(|_| {
        refresh::count_mangled(app);
        Error::InvalidGrant
    })?;
    let conditions = Conditions { client_id: client.map(|client| client.id), scope };
    refresh::refresh(app, presented, conditions, from).await
}
