//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that creates something may be sent again, when
//! nobody knows what became of the first one, and is answered as that was.
//!
//! The key, the work and the answer are one transaction: there is never a key without an answer or an answer without a key, whenever
//! the service dies. So a request that failed leaves its key free, and one that comes a second time while the first is under
//! way is told so (on SQLite, which does one thing after another, it is told the answer).
//!
//! What is kept: digests of caller, key and request, and the answer, encrypted with a key that is derived from the caller's own.
//! There may be a link in it by which somebody gets in; a copy of the database shows none.
//!
//! Owns: idempotency_keys.

mod seal;
mod store;

use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use diesel::QueryResult;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use self::seal::RequestDigest;
use super::body::{self, Fields, FromFields};
use crate::account::UserId;
use crate::db::Tx;
use crate::error::{Error, Result};

pub(crate) use store::delete_expired;

/// The header.
pub const HEADER: header::HeaderName = header::HeaderName::from_static("idempotency-key");
/// How long an answer is kept.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// A key is a UUID, or as hard to guess: the answer is encrypted with it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=255;

const MALFORMED: Error = Error::InvalidRequest(std::borrow::Cow::Borrowed(
    "an Idempotency-Key is one, and 16 to 255 characters long, as a UUID is; in quotes or without",
));

/// A body in JSON, in a request that may be sent again.
pub struct Idempotent<T> {
    /// What is wanted.
    pub body: T,
    /// Whether it was wanted before.
    pub repeat: Repeat,
}

impl<T: FromFields + 'static> FromRequest for Idempotent<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(http: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (http, payload) = (http.clone(), payload.take());
        Box::pin(async move {
            let key = presented(&http)?;
            body::expect_media_type(&http, &mime::APPLICATION_JSON)?;
            let bytes = body::read(&http, payload).await?;
            let body = T::from_fields(&mut Fields::parse(&bytes)?)?;
            let digest = Sha256::new()
                .chain_update(http.method().as_str())
                .chain_update([0])
                .chain_update(http.path())
                .chain_update([0])
                .chain_update(&bytes);
            let request = RequestDigest(digest.finalize().into());
            Ok(Self { body, repeat: Repeat(key.map(|key| Key { key, request })) })
        })
    }
}

/// The key of a request: a string of RFC 8941 or, as nearly everybody sends it, without the quotes.
fn presented(http: &HttpRequest) -> Result<Option<Zeroizing<String>>> {
    let mut values = http.headers().get_all(HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| MALFORMED)?;
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let is_plain = bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    if values.next().is_some() || !KEY_BYTES.contains(&bare.len()) || !is_plain {
        return Err(MALFORMED);
    }
    Ok(Some(Zeroizing::new(bare.to_owned())))
}

/// Whether a request may come, or has come, more than once.
#[derive(Clone)]
pub struct Repeat(Option<Key>);

#[derive(Clone)]
struct Key {
    key: Zeroizing<String>,
    request: RequestDigest,
}

/// What was, or is to be, answered to a request that worked.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    status: u16,
    location: Option<String>,
    /// In JSON.
    body: String,
}

impl Repeat {
    /// What can be said about a key.
    pub fn refusals() -> [Error; 3] {
        [MALFORMED, Error::IdempotencyKeyReused, Error::IdempotencyKeyInUse]
    }

    /// Does `work` for `caller`, unless it was done under this key before: then the answer is the one that it had.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn once(
        &self,
        tx: &mut Tx<'_>,
        caller: UserId,
        work: impl FnOnce(&mut Tx<'_>) -> QueryResult<Result<Answer>>,
    ) -> QueryResult<Result<Answer>> {
        let Some(Key { key, request }) = &self.0 else { return work(tx) };
        let slot = seal::slot(caller, key);
        if !store::try_lock(tx, slot)? {
            return Ok(Err(Error::IdempotencyKeyInUse));
        }
        if let Some((before, sealed)) = store::find(tx, slot)? {
            if before != *request {
                return Ok(Err(Error::IdempotencyKeyReused));
            }
            return Ok(seal::open(caller, key, sealed).ok_or(Error::Internal));
        }
        let answer = match work(tx)? {
            Ok(answer) => answer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        store::keep(tx, slot, *request, &seal::seal(caller, key, &answer), tx.now + TTL)?;
        Ok(Ok(answer))
    }
}

impl Answer {
    /// 201, where it is if it is anywhere, and what it is.
    pub(crate) fn created(location: impl Into<Option<String>>, body: &impl Serialize) -> Self {
        Self::new(StatusCode::CREATED, location.into(), body)
    }

    /// 200.
    pub(crate) fn ok(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, None, body)
    }

    fn new(status: StatusCode, location: Option<String>, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("answers are plain data");
        Self { status: status.as_u16(), location, body }
    }

    /// The answer as it is sent.
    pub(crate) fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        response.content_type(header::ContentType::json()).body(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn key(values: &[&str]) -> Result<Option<String>, &'static str> {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header((HEADER, *value)));
        match presented(&request.to_http_request()) {
            Ok(key) => Ok(key.map(|key| key.as_str().to_owned())),
            Err(error) => Err(error.code()),
        }
    }

    #[test]
    fn a_key_is_as_long_as_a_uuid_and_may_stand_in_quotes() {
        let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[uuid]), Ok(Some(uuid.to_owned())));
        assert_eq!(key(&[&format!("\"{uuid}\"")]), Ok(Some(uuid.to_owned())));
        for bad in ["", "1", "\"\"", "sixteen or more characters", "\"8e03978e-40d5-43dd", &"x".repeat(256)] {
            assert_eq!(key(&[bad]), Err("invalid_request"), "{bad}");
        }
        assert_eq!(key(&[uuid, uuid]), Err("invalid_request"));
    }
}
