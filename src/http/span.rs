//! The span around a request: each of its log lines carries its id, and its trace begins with it.

use std::rc::Rc;

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::web::Data;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing_actix_web::RootSpanBuilder;

use super::origin::RequestId;
use crate::app::App;
use crate::telemetry::{self, Parent, REQUEST, TraceId};
use crate::{random, routes};

/// Gives each request its id, its place in a trace, and the span that carries them. No address, no user agent, no path,
/// no query: neither logs nor traces hold anything personal.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    /// A server span as OpenTelemetry's conventions have it, but for `url.path`, in which ids stand. It is an error's, so
    /// that at no level a line loses its request.
    fn on_request_start(request: &ServiceRequest) -> Span {
        let app = request.app_data::<Data<App>>().expect("every listener carries the application");
        // Both ids are made of it: a request whose trace begins here is found by either.
        let fresh = random::uuid_v7(app.clock.now());
        let id = RequestId::assign(request, fresh);
        let subject = Subject::of(request, app);
        let parent = Parent::of(request.headers());
        let trace_id = parent.map(|parent| parent.trace_id);
        let trace_id = if subject.is_traced { trace_id } else { trace_id.or(Some(TraceId(fresh.as_u128()))) };
        let span = tracing::error_span!(
            target: REQUEST,
            parent: None,
            "request",
            otel.kind = subject.is_traced.then_some("server"),
            otel.name = subject.is_traced.then(|| subject.name()),
            signet.request_id = %id.0,
            signet.trace_id = trace_id.map(display),
            http.request.method = subject.method.unwrap_or("_OTHER"),
            http.route = subject.route.as_deref(),
            url.scheme = subject.is_traced.then_some(if app.config.is_https() { "https" } else { "http" }),
            http.response.status_code = Empty,
            otel.status_code = Empty,
        );
        if subject.is_traced {
            let joined = telemetry::join(&span, parent.as_ref(), request.headers());
            if trace_id.is_none() {
                span.record("signet.trace_id", display(joined));
            }
        }
        request.extensions_mut().insert(subject);
        span
    }

    fn on_request_end<B: MessageBody>(_: Span, _: &Result<ServiceResponse<B>, actix_web::Error>) {}
}

/// What a request is about, in words of which there are few: logs, traces and metrics name it by them.
#[derive(Clone)]
pub(super) struct Subject {
    /// One that HTTP knows.
    pub method: Option<&'static str>,
    /// The route's pattern, if it has a route.
    pub route: Option<Rc<str>>,
    is_traced: bool,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"];

impl Subject {
    fn of(request: &ServiceRequest, app: &App) -> Self {
        let route: Option<Rc<str>> = request.match_pattern().map(Rc::from);
        // Operators' routes have no trace: programs ask them every few seconds.
        let is_operators = || routes::MANAGEMENT.iter().any(|row| Some(row.path) == route.as_deref());
        let is_traced = app.config.traces.is_exported() && !is_operators();
        let method: &Method = request.method();
        Self { method: METHODS.into_iter().find(|known| *known == method.as_str()), route, is_traced }
    }

    /// What the span noted.
    pub(super) fn noted(request: &impl HttpMessage) -> Self {
        request.extensions().get::<Self>().cloned().expect("the root span is around everything else")
    }

    /// The span's name by OpenTelemetry's conventions: method and route.
    fn name(&self) -> String {
        let method = self.method.unwrap_or("HTTP");
        self.route.as_deref().map_or(method.to_owned(), |route| format!("{method} {route}"))
    }

    /// Writes the answer's status into the trace.
    pub(super) fn answered(&self, status: u16) {
        if self.is_traced {
            let span = Span::current();
            span.record("http.response.status_code", status);
            if status >= 500 {
                span.record("otel.status_code", "error");
            }
        }
    }
}
