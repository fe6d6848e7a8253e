//! `POST /v1/auth/verify-email` — show that an address is one's own; `POST /v1/auth/verify-email/resend` — another mail.
//!
//! Asking for a mail is answered alike, and costs the same, whether or not the address has an account that waits for one: the
//! request only puts a letter into the outbox, and is answered with a tick of the clock ([`tick`](crate::http::tick)).
//!
//! Owns: users.  Emits: EmailVerified, VerificationRequested.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::email::Email;
use super::one_time::{self, Purpose, TokenField};
use super::{UserId, store};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{Error, Result};
use crate::http::body::{Json, request_body};
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::http::tick::at_tick;
use crate::mail::Kind;
use crate::throttle::quota::{self, Counted};

request_body! {
    /// What came by mail.
    pub struct Request {
        /// The token.
        token: TokenField,
    }
}

/// Answers 204; nobody is logged in by it.
pub async fn handle(app: Data<App>, from: Origin, Json(body): Json<Request>) -> Result<HttpResponse> {
    let verified = verify(&app, &body.token, from).await;
    app.metrics.count_one_time_token(verified.is_ok());
    verified.map(|()| HttpResponse::NoContent().finish())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "verify_email", "Show that an address is one's own, with the token that came by mail")
        .json::<Request>()
        .answers_nothing(StatusCode::NO_CONTENT, "The address is verified.")
        .refuses([Error::InvalidOneTimeToken])
}

async fn verify(app: &App, token: &TokenField, from: Origin) -> Result<()> {
    let token = token.parse(Purpose::VerifyEmail)?;
    let verified = app
        .db
        .tx("account.verify_email", move |tx| {
            let Some(taken) = one_time::take(tx, &token)? else { return Ok(false) };
            if !store::mark_verified(tx, taken.user)? {
                return Ok(false);
            }
            audit::record(tx, &from, &Event::EmailVerified { user: taken.user })?;
            Ok(true)
        })
        .await?;
    if verified { Ok(()) } else { Err(Error::InvalidOneTimeToken) }
}

request_body! {
    /// Who wants another mail.
    pub struct Resend {
        /// The address to be verified.
        email: Email,
    }
}

/// Answers 202, whoever asks. The token of an earlier mail works until the new one is sent.
pub async fn resend(app: Data<App>, from: Origin, Json(body): Json<Resend>) -> Result<HttpResponse> {
    request_mail(&app, from, body.email, Kind::VerifyEmail, |user| Event::VerificationRequested { user }).await
}

/// What the API description says.
pub fn describe_resend() -> Operation {
    Operation::new(Tag::Account, "resend_verification", "Have another verification mail sent")
        .json::<Resend>()
        .answers_nothing(StatusCode::ACCEPTED, "If the address has an account that waits for it, a mail is sent.")
        .refuses([NO_MAIL])
}

/// The answer where no mail is sent, to everybody.
pub(super) const NO_MAIL: Error = Error::Forbidden("this service sends no mail; ask its operator");

/// Puts in a letter for an address, whether or not it has an account, and answers 202 when the clock ticks.
pub(super) async fn request_mail(
    app: &App,
    from: Origin,
    email: Email,
    kind: Kind,
    event: fn(Option<UserId>) -> Event,
) -> Result<HttpResponse> {
    if !app.mail.is_open() {
        return Err(NO_MAIL);
    }
    let outbox = app.mail.outbox();
    at_tick(async {
        quota::admit(app, Counted::Mail, &from).await?;
        let putting = app.db.tx("account.request_mail", move |tx| {
            let user = store::find_id_by_email(tx, &email)?;
            outbox.put(tx, kind, None, email.key())?;
            audit::record(tx, &from, &event(user))
        });
        putting.await?;
        app.mail.outbox().ring();
        Ok(HttpResponse::Accepted().finish())
    })
    .await
}
