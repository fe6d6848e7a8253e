//! `POST /v1/admin/invitations` — invite somebody to open an account.
//!
//! An `Idempotency-Key` lets it be sent again.
//!
//! Emits: Invited.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::handover::Handover;
use crate::account::email::Email;
use crate::account::hand_out::{INVITATION_TTL, invite_in};
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::bearer::Admin;
use crate::http::body::request_body;
use crate::http::idempotency::{Answer, Idempotent, Repeat};
use crate::http::openapi::{Operation, Tag};
use crate::mail::Link;

request_body! {
    /// Who is invited.
    pub struct Request {
        /// The address that the account will have.
        email: Email,
    }
}

/// Answers 200: the invitation is on its way, or in the answer where no mail is sent.
pub async fn handle(
    app: Data<App>,
    Admin { caller, by }: Admin,
    Idempotent { body, repeat }: Idempotent<Request>,
) -> Result<HttpResponse> {
    let outbox = app.mail.is_open().then(|| app.mail.outbox());
    let inner = Data::clone(&app);
    let invited = app.db.tx("admin.invite", move |tx| {
        repeat.once(tx, caller.user_id, |tx| {
            let delivery = invite_in(tx, &by, outbox.as_ref(), &body.email)?;
            Ok(delivery.map(|delivery| Answer::ok(&Handover::new(&inner, &delivery, Link::Invitation, INVITATION_TTL))))
        })
    });
    let answer = invited.await??;
    app.mail.outbox().ring();
    Ok(answer.into_response())
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "invite", "Invite somebody to open an account")
        .json::<Request>()
        .reads_header("Idempotency-Key", "A UUID: the same request with it is answered as before, for a day.")
        .answers::<Handover>(StatusCode::OK, "They are invited, in place of the invitation that they may have had.")
        .refuses([Error::EmailTaken])
        .refuses(Repeat::refusals())
}
