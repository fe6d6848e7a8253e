//! `GET /v1/auth/me/export` — everything that is kept about the caller, as one document to keep.
//!
//! However many sessions and events there are, the document is written page by page as it is read: no request holds more
//! than a page in memory or a connection longer than one takes. If the database goes away in the middle the answer breaks
//! off, and no client takes it for whole. Secrets and their digests are not in it: they say nothing about anybody.
//!
//! Owns: nothing.  Emits: DataExported.

mod store;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data};
use futures_util::stream;
use serde::Serialize;

use self::store::{
    ApiKey, ApiKeySource, EmailChange, Event, KnownSource, OneTimeToken, SecondFactor, SecondStep, Session, WaitingMail,
};
use super::email::Email;
use super::{User, UserId};
use crate::app::App;
use crate::audit::{self, EventId};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::http::bearer::Account;
use crate::http::openapi::{Operation, Tag};
use crate::http::origin::Origin;
use crate::session::SessionId;

/// Rows that are read at a time.
const PAGE: i64 = 500;

/// Answers 200 with the document, as a file.
pub async fn handle(app: Data<App>, Account { caller, user }: Account, from: Origin) -> Result<HttpResponse> {
    let event = audit::Event::DataExported { user: caller.user_id, session: caller.session_id };
    let exported_at = app
        .db
        .tx("account.export", move |tx| {
            audit::record(tx, &from, &event)?;
            Ok(tx.now)
        })
        .await?;
    let begin = Place::Beginning(Box::new(user), exported_at);
    let pages = stream::try_unfold((app, caller.user_id, begin), |(app, id, place)| async move {
        let page = next_page(&app, id, place).await?;
        Ok::<_, Error>(page.map(|(bytes, place)| (bytes, (app, id, place))))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"account.json\""))
        .streaming(Box::pin(pages)))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Account, "export_account", "Everything that is kept about the caller")
        .answers::<Document>(StatusCode::OK, "One document, as a file.")
        .with_header(header::CONTENT_DISPOSITION, "Its name.")
}

/// What is read once: there are few of each.
#[derive(Serialize, schemars::JsonSchema)]
struct Head {
    /// When the document was asked for.
    exported_at: Timestamp,
    /// The account itself.
    user: User,
    /// A change of address that waits for both addresses.
    email_change: Option<EmailChange>,
    /// Tokens that were sent and not used; not the tokens themselves.
    one_time_tokens: Vec<OneTimeToken>,
    /// From where, or with which devices, the account was logged in to; kept as digests, which are not in here.
    known_sources: Vec<KnownSource>,
    /// API keys, those that have ended too while they are kept; not the keys themselves.
    api_keys: Vec<ApiKey>,
    /// From where they were used.
    api_key_sources: Vec<ApiKeySource>,
    /// Authenticator apps; not their secrets.
    second_factors: Vec<SecondFactor>,
    /// How many recovery codes are left.
    recovery_codes: i64,
    /// Log-ins that wait for a code.
    second_steps: Vec<SecondStep>,
    /// Mails that are to be sent.
    waiting_mails: Vec<WaitingMail>,
}

/// The whole: it is written in pieces; this is their sum, for the API description.
#[derive(Serialize, schemars::JsonSchema)]
struct Document {
    #[serde(flatten)]
    head: Head,
    /// Every session that is kept, those that have ended too, oldest first.
    sessions: Vec<Session>,
    /// What the audit trail says about the caller, oldest first.
    events: Vec<Event>,
}

/// How far the document is written.
enum Place {
    Beginning(Box<User>, Timestamp),
    Sessions(Option<SessionId>),
    Events(Option<EventId>),
    End,
}

/// The next piece of the document, and where the one after it begins.
async fn next_page(app: &App, id: UserId, place: Place) -> Result<Option<(Bytes, Place)>> {
    Ok(match place {
        Place::Beginning(user, exported_at) => {
            let head = read_head(app, *user, exported_at).await?;
            let mut text = to_json(&head);
            // The object goes on.
            text.truncate(text.len() - 1);
            text.push_str(",\"sessions\":[");
            Some((text.into(), Place::Sessions(None)))
        }
        Place::Sessions(after) => {
            let page = app.db.read("account.export", move |tx| store::sessions(tx, id, after, PAGE)).await?;
            let (mut text, last) = (items(&page, after.is_none()), page.last().map(|session| session.id));
            if is_last(&page) {
                text.push_str("],\"events\":[");
                return Ok(Some((text.into(), Place::Events(None))));
            }
            Some((text.into(), Place::Sessions(last)))
        }
        Place::Events(after) => {
            let page = app.db.read("account.export", move |tx| store::events(tx, id, after, PAGE)).await?;
            let (mut text, last) = (items(&page, after.is_none()), page.last().map(|event| event.id));
            if is_last(&page) {
                text.push_str("]}");
                return Ok(Some((text.into(), Place::End)));
            }
            Some((text.into(), Place::Events(last)))
        }
        Place::End => None,
    })
}

async fn read_head(app: &App, user: User, exported_at: Timestamp) -> Result<Head> {
    let id = user.id;
    let key = Email::parse(&user.email).map_err(|_| Error::Internal)?.key().to_owned();
    let head = app.db.read("account.export", move |tx| {
        Ok(Head {
            exported_at,
            user: user.clone(),
            email_change: store::email_change(tx, id)?,
            one_time_tokens: store::one_time_tokens(tx, id)?,
            known_sources: store::known_sources(tx, id)?,
            api_keys: store::api_keys(tx, id)?,
            api_key_sources: store::api_key_sources(tx, id)?,
            second_factors: store::second_factors(tx, id)?,
            recovery_codes: store::recovery_codes(tx, id)?,
            second_steps: store::second_steps(tx, id)?,
            waiting_mails: store::waiting_mails(tx, id, &key)?,
        })
    });
    Ok(head.await?)
}

fn is_last<T>(page: &[T]) -> bool {
    i64::try_from(page.len()).is_ok_and(|length| length < PAGE)
}

/// Items of a list that others may have been written into before.
fn items<T: Serialize>(page: &[T], is_first: bool) -> String {
    let mut text = String::new();
    for (number, item) in page.iter().enumerate() {
        if number > 0 || !is_first {
            text.push(',');
        }
        text.push_str(&to_json(item));
    }
    text
}

fn to_json(item: &impl Serialize) -> String {
    serde_json::to_string(item).expect("rows are plain data")
}
