//! THE table: every route of the service, who may call it and how often, how it is described, and its handler.
//!
//! A new route starts as a row here; `tests/api/matrix.rs` fails until each actor's answer to it is written down.

use std::collections::BTreeSet;

use actix_cors::Cors;
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Route as Service};

use self::Caller::{Account, AccountOrActor, AccountOrKey, Admin, AnyToken, Anyone, AnyoneAnywhere, RefreshToken};
use self::RateLimit::{Guesses, Mails, Registrations, Unlimited};
use crate::access::step_up::Demand;
use crate::account::change_email::{self, confirm};
use crate::account::deletion::{delete as delete_me, restore};
use crate::account::{change_password, export, forgot_password, me, register, reset_password, verify_email};
use crate::admin::{
    self, api_key, api_keys, create_user, disable, impersonate, invitations, list_users, reset_password as force_reset,
    sessions, statistics, user,
};
use crate::api_key as keys;
use crate::audit::{feed, list as audit};
use crate::config::Config;
use crate::error::Error;
use crate::http::openapi::Operation;
use crate::http::respond::survive;
use crate::http::{bearer, cookie, health, idempotency};
use crate::metrics::Metrics;
use crate::mfa;
use crate::oauth::{metadata, token};
use crate::session::{list, login, logout, refresh, revoke};
use crate::token::jwks;
use crate::webhook::{deliveries, endpoint, endpoints};

/// A row of the table.
pub struct Route {
    /// `GET` answers `HEAD` too.
    pub method: Method,
    /// The pattern, as in metrics.
    pub path: &'static str,
    /// Who may call it.
    pub caller: Caller,
    /// How often.
    pub limit: RateLimit,
    /// How fresh and how strong the log-in behind an access token must be.
    pub demand: Demand,
    /// What the API description says; operators need none.
    pub describe: Option<Describe>,
    /// Makes the service.
    service: Serve,
}

/// What a caller has to present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Nothing.
    Anyone,
    /// Nothing, and pages of any origin may read the answer.
    AnyoneAnywhere,
    /// A refresh token, in the body or in the cookie.
    RefreshToken,
    /// An access token, or a refresh token.
    AnyToken,
    /// An access token with the scope `account`, of a session that is alive and the user's own.
    Account,
    /// The same, or one of an administrator who acts for the user.
    AccountOrActor,
    /// The same, or an API key with the scope `account`, or a token that one was exchanged for: to read, and no more.
    AccountOrKey,
    /// An access token with the scope `admin`, of a session that is alive, whose user has the role `admin` now.
    Admin,
}

/// What keeps a caller from trying too often. `docs/abuse.md` has the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Passwords are guessed: by account, by source that the account knows or by session, by address and prefix.
    Guesses,
    /// Accounts are opened: by address and prefix, and overall.
    Registrations,
    /// Mails are asked for by whoever knows an address: by address and prefix, and overall.
    Mails,
    /// Nothing can be guessed or used up here. A refresh above all: clients throw a session away on any 4xx, a good token
    /// must never get a 429, and a token that is none costs no query, or at most two.
    Unlimited,
}

/// What clients and sibling services see.
pub const PUBLIC: &[Route] = &[
    post("/v1/auth/register", Anyone, Registrations, register::describe, || web::to(register::handle)),
    post("/v1/auth/verify-email", Anyone, Unlimited, verify_email::describe, || web::to(verify_email::handle)),
    post("/v1/auth/verify-email/resend", Anyone, Mails, verify_email::describe_resend, || {
        web::to(verify_email::resend)
    }),
    post("/v1/auth/forgot-password", Anyone, Mails, forgot_password::describe, || web::to(forgot_password::handle)),
    post("/v1/auth/reset-password", Anyone, Unlimited, reset_password::describe, || web::to(reset_password::handle)),
    post("/v1/auth/login", Anyone, Guesses, login::describe, || web::to(login::handle)),
    post("/v1/auth/login/mfa", Anyone, Guesses, mfa::login::describe, || web::to(mfa::login::handle)),
    post("/v1/auth/refresh", RefreshToken, Unlimited, refresh::describe, || web::to(refresh::handle)),
    post("/v1/auth/logout", AnyToken, Unlimited, logout::describe, || web::to(logout::handle)),
    get("/v1/auth/me", AccountOrKey, Unlimited, me::describe_show, || web::to(me::show)),
    patch("/v1/auth/me", AccountOrActor, Unlimited, me::describe_change, || web::to(me::change)),
    delete("/v1/auth/me", Account, Guesses, delete_me::describe, || web::to(delete_me::handle)),
    get("/v1/auth/me/export", Account, Unlimited, export::describe, || web::to(export::handle)),
    post("/v1/auth/restore", Anyone, Unlimited, restore::describe, || web::to(restore::handle)),
    post("/v1/auth/change-password", Account, Guesses, change_password::describe, || web::to(change_password::handle)),
    post("/v1/auth/change-email", Account, Guesses, change_email::describe, || web::to(change_email::handle)),
    post("/v1/auth/change-email/confirm", Anyone, Unlimited, confirm::describe, || web::to(confirm::handle)),
    get("/v1/auth/mfa", Account, Unlimited, mfa::status::describe, || web::to(mfa::status::handle)),
    post("/v1/auth/mfa/totp", Account, Unlimited, mfa::enrol::describe, || web::to(mfa::enrol::handle))
        .demanding(Demand::Recent),
    post("/v1/auth/mfa/totp/confirm", Account, Guesses, mfa::confirm::describe, || web::to(mfa::confirm::handle))
        .demanding(Demand::Recent),
    post("/v1/auth/mfa/totp/remove", Account, Guesses, mfa::remove::describe, || web::to(mfa::remove::handle)),
    post("/v1/auth/mfa/recovery-codes", Account, Guesses, mfa::recovery_codes::describe, || {
        web::to(mfa::recovery_codes::handle)
    }),
    get("/v1/auth/sessions", AccountOrActor, Unlimited, list::describe, || web::to(list::handle)),
    delete("/v1/auth/sessions/{id}", AccountOrActor, Unlimited, revoke::describe, || web::to(revoke::handle)),
    get("/v1/auth/api-keys", Account, Unlimited, keys::list::describe, || web::to(keys::list::handle)),
    post("/v1/auth/api-keys", Account, Unlimited, keys::create::describe, || web::to(keys::create::handle)),
    delete("/v1/auth/api-keys", Account, Unlimited, keys::revoke::describe_all, || web::to(keys::revoke::all)),
    delete("/v1/auth/api-keys/{id}", Account, Unlimited, keys::revoke::describe, || web::to(keys::revoke::handle)),
    post("/v1/auth/api-keys/{id}/rotate", Account, Unlimited, keys::rotate::describe, || web::to(keys::rotate::handle)),
    get("/v1/admin/users", Admin, Unlimited, list_users::describe, || web::to(list_users::handle)),
    post("/v1/admin/users", Admin, Unlimited, create_user::describe, || web::to(create_user::handle)),
    get("/v1/admin/users/{id}", Admin, Unlimited, user::describe_show, || web::to(user::show)),
    patch("/v1/admin/users/{id}", Admin, Unlimited, user::describe_change, || web::to(user::change)),
    delete("/v1/admin/users/{id}", Admin, Unlimited, user::describe_delete, || web::to(user::delete)),
    get("/v1/admin/users/{id}/sessions", Admin, Unlimited, sessions::describe_show, || web::to(sessions::show)),
    delete("/v1/admin/users/{id}/sessions", Admin, Unlimited, sessions::describe_end, || web::to(sessions::end)),
    post("/v1/admin/users/{id}/disable", Admin, Unlimited, disable::describe_disable, || web::to(disable::disable)),
    post("/v1/admin/users/{id}/enable", Admin, Unlimited, disable::describe_enable, || web::to(disable::enable)),
    post("/v1/admin/users/{id}/reset-password", Admin, Unlimited, force_reset::describe, || {
        web::to(force_reset::handle)
    }),
    post("/v1/admin/users/{id}/restore", Admin, Unlimited, admin::restore::describe, || {
        web::to(admin::restore::handle)
    }),
    post("/v1/admin/users/{id}/reset-mfa", Admin, Unlimited, admin::reset_mfa::describe, || {
        web::to(admin::reset_mfa::handle)
    }),
    get("/v1/admin/users/{id}/api-keys", Admin, Unlimited, api_keys::describe_show, || web::to(api_keys::show)),
    post("/v1/admin/users/{id}/api-keys", Admin, Unlimited, api_keys::describe_create, || web::to(api_keys::create)),
    delete("/v1/admin/users/{id}/api-keys", Admin, Unlimited, api_keys::describe_revoke_all, || {
        web::to(api_keys::revoke_all)
    }),
    delete("/v1/admin/users/{id}/api-keys/{key}", Admin, Unlimited, api_key::describe_revoke, || {
        web::to(api_key::revoke)
    }),
    post("/v1/admin/users/{id}/api-keys/{key}/rotate", Admin, Unlimited, api_key::describe_rotate, || {
        web::to(api_key::rotate)
    }),
    post("/v1/admin/users/{id}/impersonate", Admin, Unlimited, impersonate::describe, || web::to(impersonate::handle)),
    post("/v1/admin/invitations", Admin, Unlimited, invitations::describe, || web::to(invitations::handle)),
    get("/v1/admin/statistics", Admin, Unlimited, statistics::describe, || web::to(statistics::handle)),
    get("/v1/admin/roles", Admin, Unlimited, admin::roles::describe, || web::to(admin::roles::handle)),
    get("/v1/admin/keys", Admin, Unlimited, admin::keys::describe, || web::to(admin::keys::handle)),
    get("/v1/admin/audit", Admin, Unlimited, audit::describe, || web::to(audit::handle)),
    get("/v1/admin/audit/head", Admin, Unlimited, audit::describe_head, || web::to(audit::handle_head)),
    get("/v1/admin/webhooks", Admin, Unlimited, endpoints::describe_list, || web::to(endpoints::list)),
    post("/v1/admin/webhooks", Admin, Unlimited, endpoints::describe_create, || web::to(endpoints::create)),
    patch("/v1/admin/webhooks/{id}", Admin, Unlimited, endpoint::describe_change, || web::to(endpoint::change)),
    delete("/v1/admin/webhooks/{id}", Admin, Unlimited, endpoint::describe_delete, || web::to(endpoint::delete)),
    post("/v1/admin/webhooks/{id}/rotate-secret", Admin, Unlimited, endpoint::describe_rotate_secret, || {
        web::to(endpoint::rotate_secret)
    }),
    post("/v1/admin/webhooks/{id}/test", Admin, Unlimited, deliveries::describe_test, || web::to(deliveries::test)),
    get("/v1/admin/webhooks/{id}/deliveries", Admin, Unlimited, deliveries::describe_list, || {
        web::to(deliveries::list)
    }),
    post("/v1/admin/webhooks/{id}/replay", Admin, Unlimited, deliveries::describe_replay, || {
        web::to(deliveries::replay)
    }),
    get("/v1/admin/events", Admin, Unlimited, feed::describe, || web::to(feed::handle)),
    post("/oauth2/token", Anyone, Guesses, token::describe, || web::to(token::handle)),
    get("/.well-known/jwks.json", AnyoneAnywhere, Unlimited, jwks::describe, || web::to(jwks::handle)),
    get("/.well-known/oauth-authorization-server", AnyoneAnywhere, Unlimited, metadata::describe, || {
        web::to(metadata::handle)
    }),
    get("/.well-known/openid-configuration", AnyoneAnywhere, Unlimited, metadata::describe_openid, || {
        web::to(metadata::handle)
    }),
];

const READY: &str = "/health/ready";

/// What operators see, on a listener of its own.
pub const MANAGEMENT: &[Route] = &[
    undescribed("/metrics", || web::to(health::metrics)),
    undescribed("/health/live", || web::to(health::live)),
    undescribed(READY, || web::to(health::ready)),
];

type Describe = fn() -> Operation;
type Serve = fn() -> Service;

const fn get(path: &'static str, caller: Caller, limit: RateLimit, describe: Describe, service: Serve) -> Route {
    Route { method: Method::GET, path, caller, limit, demand: usual(caller), describe: Some(describe), service }
}

const fn post(path: &'static str, caller: Caller, limit: RateLimit, describe: Describe, service: Serve) -> Route {
    Route { method: Method::POST, path, caller, limit, demand: usual(caller), describe: Some(describe), service }
}

const fn patch(path: &'static str, caller: Caller, limit: RateLimit, describe: Describe, service: Serve) -> Route {
    Route { method: Method::PATCH, path, caller, limit, demand: usual(caller), describe: Some(describe), service }
}

const fn delete(path: &'static str, caller: Caller, limit: RateLimit, describe: Describe, service: Serve) -> Route {
    Route { method: Method::DELETE, path, caller, limit, demand: usual(caller), describe: Some(describe), service }
}

/// What the rows of a caller demand unless they say otherwise.
const fn usual(caller: Caller) -> Demand {
    match caller {
        Admin => Demand::Administration,
        Account | AccountOrActor | AccountOrKey | AnyToken | Anyone | AnyoneAnywhere | RefreshToken => Demand::Nothing,
    }
}

const fn undescribed(path: &'static str, service: Serve) -> Route {
    let (caller, limit, demand) = (Anyone, Unlimited, Demand::Nothing);
    Route { method: Method::GET, path, caller, limit, demand, describe: None, service }
}

impl Route {
    /// The row with a demand on the log-in behind its access token.
    const fn demanding(mut self, demand: Demand) -> Self {
        self.demand = demand;
        self
    }

    /// The service, behind what the row says of who may call it.
    fn guarded(&self) -> Service {
        let (caller, demand) = (self.caller, self.demand);
        match caller {
            Account | AccountOrActor | AccountOrKey | Admin => {
                (self.service)().wrap(from_fn(move |request, next| bearer::guard(caller, demand, request, next)))
            }
            AnyToken | Anyone | AnyoneAnywhere | RefreshToken => (self.service)(),
        }
    }
}

/// Every answer that the tables foresee is counted from zero on: a series that begins with its first event hides that
/// event from `rate`.
pub fn count_from_zero(metrics: &Metrics) {
    for row in PUBLIC.iter().chain(MANAGEMENT) {
        let statuses = match row.describe {
            Some(describe) => describe().statuses(row),
            None if row.path == READY => BTreeSet::from([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]),
            None => BTreeSet::from([StatusCode::OK]),
        };
        let method = row.method.as_str();
        for status in statuses {
            metrics.http_requests.with_label_values(&[method, row.path, status.as_str()]);
        }
        metrics.http_latency.with_label_values(&[method, row.path]);
    }
}

/// Registers a table: one resource for each path, 405 for its other methods, 404 for every other path.
pub fn register(routes: &'static [Route], config: &Config, actix: &mut ServiceConfig) {
    let mut paths: Vec<&str> = routes.iter().map(|route| route.path).collect();
    // Paths are tried one after the other, and one with an id in it by a regular expression: those come last.
    paths.sort_by_key(|path| path.contains('{'));
    paths.dedup();
    for path in paths {
        let rows: Vec<&Route> = routes.iter().filter(|route| route.path == path).collect();
        let allowed = allowed_methods(&rows);
        let mut resource = web::resource(path);
        for row in &rows {
            resource = resource.route(row.guarded().method(row.method.clone()));
            if row.method == Method::GET {
                resource = resource.route(row.guarded().method(Method::HEAD));
            }
        }
        let refuse = move |_: HttpRequest| {
            let error = Error::MethodNotAllowed(allowed.clone());
            async move { Err::<actix_web::HttpResponse, _>(error) }
        };
        let resource = resource.default_service(web::to(refuse)).wrap(from_fn(survive));
        // The documents that anyone may read say so themselves, in the same words to every origin.
        let says_itself = rows.iter().any(|row| row.caller == Caller::AnyoneAnywhere);
        if says_itself || config.public.allowed_origins.is_empty() {
            actix.service(resource);
        } else {
            actix.service(resource.wrap(cors(config)));
        }
    }
    actix.default_service(web::to(async || Err::<actix_web::HttpResponse, _>(Error::NotFound)));
}

fn allowed_methods(rows: &[&Route]) -> String {
    let mut methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.join(", ")
}

/// What pages of other origins may read of an answer's head.
const EXPOSED: [header::HeaderName; 5] = [
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::HeaderName::from_static("ratelimit"),
    header::HeaderName::from_static("ratelimit-policy"),
    header::HeaderName::from_static("x-request-id"),
];

/// Pages of the listed origins may call the API, with cookies; pages of any other may not (and never all of them).
fn cors(config: &Config) -> Cors {
    let mut cors = Cors::default()
        .allowed_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allowed_header(cookie::CSRF_HEADER)
        .allowed_header(idempotency::HEADER)
        .expose_headers(EXPOSED)
        .supports_credentials()
        .block_on_origin_mismatch(false)
        .max_age(600);
    for origin in &config.public.allowed_origins {
        cors = cors.allowed_origin(origin);
    }
    cors
}
