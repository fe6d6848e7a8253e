//! Around every request: its id, its span, its metrics, the security headers, and the body of whatever went wrong.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use futures_util::FutureExt;

use super::origin::{REQUEST_ID, RequestId};
use super::progress::{Begun, Progress};
use super::span::Subject;
use crate::app::App;
use crate::error::Error;

/// Around the whole service: every error gets its body, every answer its headers, every request its line and its count.
pub async fn respond<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let begun = Instant::now();
    let app = Data::clone(request.app_data::<Data<App>>().expect("every listener carries the application"));
    let path = request.path().to_owned();
    let subject = Subject::noted(&request);
    let id = RequestId::of(&request);
    let progress = request.conn_data::<Rc<Progress>>().cloned();
    let is_over = match &progress {
        Some(progress) => progress.begin().await == Begun::TooLate,
        None => false,
    };
    let refused = if is_over { Some(Error::invalid_request("the connection has ended")) } else { oversized(&request) };

    let mut response = match refused {
        None => next.call(request).await?.map_into_left_body(),
        // Not by `into_response`, which forgets the error.
        Some(error) => {
            let (http, _) = request.into_parts();
            ServiceResponse::new(http, HttpResponse::from_error(error).map_into_right_body())
        }
    };
    if let Some(answer) = what_went_wrong(&response).map(|error| error_answer(&error, &path, &id.0)) {
        response = replace(response, answer);
    }
    if app.draining.load(Ordering::SeqCst) {
        // Whoever keeps the connection would send the next request to a service that is gone.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    write_headers(response.headers_mut(), &id.0, app.config.is_https());
    observe(&app, &response, &subject, begun);
    if let Some(progress) = &progress {
        progress.answered(response.response().head().connection_type() == ConnectionType::Close);
    }
    Ok(response)
}

/// The most bytes of a path and query.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;
/// The most bytes of all header fields together.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The framework reads heads of up to 128 KiB, and nothing that large is worth being worked on.
fn oversized(request: &ServiceRequest) -> Option<Error> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target > MAX_TARGET_BYTES {
        Some(Error::UriTooLong)
    } else if headers > MAX_HEADER_BYTES {
        Some(Error::HeadersTooLarge)
    } else {
        None
    }
}

/// Around each resource: a panic is answered like any other defect, and the process lives. (Around the whole service the
/// request could not be kept for the answer: the router wants it for itself.)
pub async fn survive<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let http = request.request().clone();
    let error = match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => return Ok(response.map_into_left_body()),
        Ok(Err(error)) => error,
        Err(_panic) => {
            if let Some(app) = http.app_data::<Data<App>>() {
                app.metrics.http_panics.inc();
            }
            tracing::error!("a defect: the handler panicked");
            Error::Internal.into()
        }
    };
    Ok(ServiceResponse::new(http, HttpResponse::from_error(error).map_into_right_body()))
}

/// Our own error, or one that fits what the framework refused. Answers that are no errors have none.
fn what_went_wrong<B>(response: &ServiceResponse<B>) -> Option<OwnOrFitting<'_>> {
    let error = response.response().error()?;
    if let Some(own) = error.as_error::<Error>() {
        return Some(OwnOrFitting::Own(own));
    }
    Some(OwnOrFitting::Fitting(match error.as_response_error().status_code() {
        StatusCode::NOT_FOUND => Error::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => Error::PayloadTooLarge,
        status if status.is_client_error() => Error::invalid_request("the request is malformed"),
        _ => {
            tracing::error!(%error, "a defect: the framework failed");
            Error::Internal
        }
    }))
}

enum OwnOrFitting<'a> {
    Own(&'a Error),
    Fitting(Error),
}

impl std::ops::Deref for OwnOrFitting<'_> {
    type Target = Error;
    fn deref(&self) -> &Error {
        match self {
            Self::Own(error) => error,
            Self::Fitting(error) => error,
        }
    }
}

fn error_answer(error: &Error, path: &str, id: &str) -> HttpResponse {
    let (status, content_type, body) = error.body(path, id);
    let mut answer = HttpResponse::build(status).content_type(content_type).body(body);
    error.write_headers(path, answer.headers_mut());
    if error.ends_connection() {
        // Writes the header and closes; the header by itself would only promise to.
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}

/// Headers that an inner layer set for every outcome, such as those of CORS, are kept.
fn replace<B: MessageBody>(
    response: ServiceResponse<EitherBody<B, BoxBody>>,
    mut answer: HttpResponse,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    for (name, value) in response.headers() {
        if *name != header::CONTENT_TYPE && !answer.headers().contains_key(name) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    ServiceResponse::new(response.request().clone(), answer.map_into_right_body())
}

fn write_headers(headers: &mut HeaderMap, id: &str, is_https: bool) {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    if headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "*") {
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(REQUEST_ID, HeaderValue::from_str(id).expect("a request id is plain ASCII"));
}

/// One line and one count for each request.
fn observe<B>(app: &App, response: &ServiceResponse<B>, subject: &Subject, begun: Instant) {
    let (method, route) = (subject.method.unwrap_or("(other)"), subject.route.as_deref().unwrap_or("(none)"));
    let status = response.status();
    let took = begun.elapsed();
    app.metrics.http_requests.with_label_values(&[method, route, status.as_str()]).inc();
    app.metrics.http_latency.with_label_values(&[method, route]).observe(took.as_secs_f64());
    subject.answered(status.as_u16());
    let (status, micros) = (status.as_u16(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    if status >= 500 {
        tracing::warn!(status, duration_us = micros, "request failed");
    } else {
        tracing::info!(status, duration_us = micros, "request answered");
    }
}
