//! Every route × every actor: who may call what, in full. A new row in `routes.rs` fails here until it is written down.

use std::collections::BTreeSet;
use std::time::Duration;

use signet::config::{Config, Quota};
use signet::routes::{MANAGEMENT, PUBLIC, RateLimit};

use super::api_key::{exchange, make_key};
use crate::support::mailbox;
use crate::support::phone::{self, Phone};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both, token};

/// Who calls. `other user` calls with the ids of things that belong to `user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Anonymous,
    JunkToken,
    User,
    OtherUser,
    UnverifiedUser,
    UserWithNarrowScope,
    LoggedOutUser,
    DisabledUser,
    ExpiredToken,
    Admin,
    ApiKey,
    ApiKeyWithoutScope,
    ExchangedToken,
    /// Has the password of an account with a second factor, and so a challenge, which is presented as an access token and
    /// as a refresh token.
    FactorPending,
    /// The same, presented as an API key and for an exchange.
    FactorPendingAsKey,
}
use Actor::{
    Admin, Anonymous, ApiKey, ApiKeyWithoutScope, DisabledUser, ExchangedToken, ExpiredToken, FactorPending,
    FactorPendingAsKey, JunkToken, LoggedOutUser, OtherUser, UnverifiedUser, User, UserWithNarrowScope,
};

/// In the order of the columns below.
const ACTORS: [Actor; 15] = [
    Anonymous,
    JunkToken,
    User,
    OtherUser,
    UnverifiedUser,
    UserWithNarrowScope,
    LoggedOutUser,
    DisabledUser,
    ExpiredToken,
    Admin,
    ApiKey,
    ApiKeyWithoutScope,
    ExchangedToken,
    FactorPending,
    FactorPendingAsKey,
];

type Statuses = [u16; ACTORS.len()];

/// Whoever it is.
const fn anyone(status: u16) -> Statuses {
    [status; ACTORS.len()]
}

/// Whoever is signed in, by a session and for their account.
const fn account(ok: u16) -> Statuses {
    [401, 401, ok, ok, ok, 403, 401, 401, 401, ok, 403, 403, 403, 401, 401]
}

/// The same, for what has an id and an owner.
const fn owner(ok: u16) -> Statuses {
    [401, 401, ok, 404, ok, 403, 401, 401, 401, ok, 403, 403, 403, 401, 401]
}

/// Whoever may read their account, be it by a key.
const fn reader(ok: u16) -> Statuses {
    [401, 401, ok, ok, ok, 403, 401, 401, 401, ok, ok, 403, ok, 401, 401]
}

/// Whoever administers.
const fn administrator(ok: u16) -> Statuses {
    [401, 401, 403, 403, 403, 403, 401, 401, 401, ok, 403, 403, 403, 401, 401]
}

/// Method, path, and the status for each actor.
const ANSWERS: &[(&str, &str, Statuses)] = &[
    ("POST", "/v1/auth/register", anyone(201)),
    ("POST", "/v1/auth/verify-email", anyone(400)),
    ("POST", "/v1/auth/verify-email/resend", anyone(202)),
    ("POST", "/v1/auth/forgot-password", anyone(202)),
    ("POST", "/v1/auth/reset-password", anyone(400)),
    ("POST", "/v1/auth/login", anyone(200)),
    // No actor has a challenge that waits; whoever has one may answer it.
    ("POST", "/v1/auth/login/mfa", anyone(401)),
    // The actor's access token is of no use here; the refresh token in the body is the actor's own, and keys have none.
    ("POST", "/v1/auth/refresh", [400, 401, 200, 200, 200, 200, 401, 401, 200, 200, 400, 400, 400, 401, 400]),
    // A key without the scope is sent as `X-API-Key`, which no more ends a session than its absence.
    ("POST", "/v1/auth/logout", [400, 401, 204, 204, 204, 403, 401, 401, 401, 204, 403, 400, 403, 401, 400]),
    ("GET", "/v1/auth/me", reader(200)),
    ("PATCH", "/v1/auth/me", account(200)),
    ("DELETE", "/v1/auth/me", account(204)),
    ("GET", "/v1/auth/me/export", account(200)),
    ("POST", "/v1/auth/restore", anyone(400)),
    ("POST", "/v1/auth/change-password", account(204)),
    ("POST", "/v1/auth/change-email", account(202)),
    ("POST", "/v1/auth/change-email/confirm", anyone(400)),
    ("GET", "/v1/auth/mfa", account(200)),
    ("POST", "/v1/auth/mfa/totp", account(200)),
    // Here the user has one that waits, and at the next two one that counts.
    ("POST", "/v1/auth/mfa/totp/confirm", account(200)),
    ("POST", "/v1/auth/mfa/totp/remove", account(204)),
    ("POST", "/v1/auth/mfa/recovery-codes", account(200)),
    ("GET", "/v1/auth/sessions", account(200)),
    ("DELETE", "/v1/auth/sessions/{id}", owner(204)),
    ("GET", "/v1/auth/api-keys", account(200)),
    ("POST", "/v1/auth/api-keys", account(201)),
    ("DELETE", "/v1/auth/api-keys", account(204)),
    ("DELETE", "/v1/auth/api-keys/{id}", owner(204)),
    ("POST", "/v1/auth/api-keys/{id}/rotate", owner(200)),
    ("GET", "/v1/admin/users", administrator(200)),
    ("POST", "/v1/admin/users", administrator(201)),
    ("GET", "/v1/admin/users/{id}", administrator(200)),
    ("PATCH", "/v1/admin/users/{id}", administrator(200)),
    ("DELETE", "/v1/admin/users/{id}", administrator(204)),
    ("GET", "/v1/admin/users/{id}/sessions", administrator(200)),
    ("DELETE", "/v1/admin/users/{id}/sessions", administrator(200)),
    ("POST", "/v1/admin/users/{id}/disable", administrator(200)),
    ("POST", "/v1/admin/users/{id}/enable", administrator(200)),
    ("POST", "/v1/admin/users/{id}/reset-password", administrator(200)),
    // Who was not deleted is not brought back.
    ("POST", "/v1/admin/users/{id}/restore", administrator(404)),
    ("POST", "/v1/admin/users/{id}/reset-mfa", administrator(200)),
    ("GET", "/v1/admin/users/{id}/api-keys", administrator(200)),
    ("POST", "/v1/admin/users/{id}/api-keys", administrator(201)),
    ("DELETE", "/v1/admin/users/{id}/api-keys", administrator(200)),
    ("DELETE", "/v1/admin/users/{id}/api-keys/{key}", administrator(204)),
    ("POST", "/v1/admin/users/{id}/api-keys/{key}/rotate", administrator(200)),
    ("POST", "/v1/admin/users/{id}/impersonate", administrator(200)),
    ("POST", "/v1/admin/invitations", administrator(200)),
    ("GET", "/v1/admin/statistics", administrator(200)),
    ("GET", "/v1/admin/roles", administrator(200)),
    ("GET", "/v1/admin/keys", administrator(200)),
    ("GET", "/v1/admin/audit", administrator(200)),
    // Nothing is sealed yet.
    ("GET", "/v1/admin/audit/head", administrator(404)),
    ("GET", "/v1/admin/webhooks", administrator(200)),
    ("POST", "/v1/admin/webhooks", administrator(201)),
    ("PATCH", "/v1/admin/webhooks/{id}", administrator(404)),
    ("DELETE", "/v1/admin/webhooks/{id}", administrator(404)),
    ("POST", "/v1/admin/webhooks/{id}/rotate-secret", administrator(404)),
    ("POST", "/v1/admin/webhooks/{id}/test", administrator(404)),
    ("GET", "/v1/admin/webhooks/{id}/deliveries", administrator(404)),
    ("POST", "/v1/admin/webhooks/{id}/replay", administrator(404)),
    ("GET", "/v1/admin/events", administrator(200)),
    // A refresh, or of a key's holder an exchange, for which a token that was exchanged before is none.
    ("POST", "/oauth2/token", [400, 400, 200, 200, 200, 200, 400, 400, 200, 200, 200, 200, 400, 400, 400]),
    ("GET", "/.well-known/jwks.json", anyone(200)),
    ("GET", "/.well-known/oauth-authorization-server", anyone(200)),
    ("GET", "/.well-known/openid-configuration", anyone(200)),
];

/// A service that limits nobody, so that one serves all actors, each with users of their own.
fn service(backend: Backend, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_with(backend, |config| {
        let many = Quota::of(1_000_000, Duration::from_secs(3600));
        (config.throttle.registrations, config.throttle.mails) = (many, many);
        config.oauth.password_grant = true;
        mailbox::into_folder(config);
        phone::switch_on(config);
        config.oauth.scope = "account read".parse().expect("a scope");
        change(config);
    })
}

/// An actor with things of their own.
struct World<'s> {
    server: &'s Server,
    client: Client,
    refresh_token: Option<String>,
    /// What is presented for an exchange.
    subject_token: Option<String>,
    sid: String,
    key_id: String,
    /// Somebody else, whom administrators administer.
    somebody: String,
    /// A key of theirs.
    key_of_somebody: String,
    /// Tells the addresses of this world from those of any other.
    number: usize,
}

/// Makes `actor`, in the way that the `number` tells from all others.
fn world(server: &Server, actor: Actor, number: usize) -> World<'_> {
    let mut world = World::of_a_stranger(server, number);
    match actor {
        Anonymous => {}
        JunkToken => world.hold("junk", "junk"),
        _ => world.enter(actor),
    }
    world
}

impl<'s> World<'s> {
    fn of_a_stranger(server: &'s Server, number: usize) -> Self {
        let anonymous = server.client();
        let somebody = anonymous.register(&format!("somebody{number}@example.com"));
        let key_of_somebody = anonymous
            .bearer(&somebody.access_token())
            .post("/v1/auth/api-keys", &json!({"name": "x", "scope": "read"}))
            .expect(201);
        let nothing = || "00000000-0000-0000-0000-000000000000".to_owned();
        Self {
            server,
            client: anonymous,
            refresh_token: None,
            subject_token: None,
            sid: nothing(),
            key_id: nothing(),
            somebody: somebody.text_at("/user/id"),
            key_of_somebody: key_of_somebody.text_at("/id"),
            number,
        }
    }
}

impl World<'_> {
    fn email(&self, name: &str) -> String {
        format!("{name}{}@example.com", self.number)
    }

    /// From now on these are presented.
    fn hold(&mut self, access_token: &str, refresh_token: &str) {
        self.client = self.server.client().bearer(access_token);
        self.refresh_token = Some(refresh_token.to_owned());
    }

    /// Opens the actor's account, with a key, and holds what the actor has.
    fn enter(&mut self, actor: Actor) {
        let anonymous = self.server.client();
        let name = self.email("actor");
        let owner = anonymous.register(&name);
        let signed_in = anonymous.bearer(&owner.access_token());
        self.key_id = make_key(&signed_in, "account").text_at("/id");
        self.sid = token::decode(&owner.access_token()).1["sid"].as_str().expect("a session").to_owned();
        if actor != UnverifiedUser {
            self.server.execute(&format!("UPDATE users SET is_verified = true WHERE email = '{name}'"));
        }
        match actor {
            FactorPending | FactorPendingAsKey => self.enter_by_half(actor, &signed_in),
            ApiKey | ExchangedToken => self.enter_by_key(actor, &make_key(&signed_in, "account").text_at("/key")),
            ApiKeyWithoutScope => self.enter_by_key(actor, &make_key(&signed_in, "read").text_at("/key")),
            _ => {
                let session = self.session(actor, &owner);
                self.hold(&session.access_token(), &session.refresh_token());
            }
        }
    }

    /// The session that the actor has, and what has become of it.
    fn session(&self, actor: Actor, owner: &Answer) -> Answer {
        let (server, anonymous, name) = (self.server, self.server.client(), self.email("actor"));
        match actor {
            UserWithNarrowScope => {
                let (user, scope) = (("username", &*name), ("scope", "read"));
                let fields = [("grant_type", "password"), user, ("password", PASSWORD), scope];
                return anonymous.form("/oauth2/token", &fields).expect(200);
            }
            OtherUser => return anonymous.register(&self.email("other")),
            Admin => {
                server.execute(&format!("UPDATE users SET roles = 'admin user' WHERE email = '{name}'"));
                return anonymous.login(&name);
            }
            LoggedOutUser => {
                let body = json!({"refresh_token": owner.refresh_token()});
                anonymous.post("/v1/auth/logout", &body).expect(204);
            }
            DisabledUser => {
                server.execute(&format!("UPDATE users SET is_active = false WHERE email = '{name}'"));
            }
            ExpiredToken => server.clock.advance(Duration::from_secs(3_600)),
            _ => {}
        }
        owner.clone()
    }

    /// Knows the password and has no phone.
    fn enter_by_half(&mut self, actor: Actor, signed_in: &Client) {
        Phone::add(self.server, signed_in);
        let anonymous = self.server.client();
        let challenge = phone::first_step(&anonymous, &self.email("actor"));
        if actor == FactorPending {
            self.hold(&challenge, &challenge);
        } else {
            self.client = anonymous.with("x-api-key", &challenge);
            self.subject_token = Some(challenge);
        }
    }

    fn enter_by_key(&mut self, actor: Actor, key: &str) {
        let anonymous = self.server.client();
        let (client, subject_token) = match actor {
            ExchangedToken => {
                let exchanged = exchange(self.server, key, &[]).expect(200).access_token();
                (anonymous.bearer(&exchanged), exchanged)
            }
            ApiKeyWithoutScope => (anonymous.with("x-api-key", key), key.to_owned()),
            _ => (anonymous.bearer(key), key.to_owned()),
        };
        (self.client, self.subject_token) = (client, Some(subject_token));
    }
}

fn call(world: &World<'_>, method: &str, path: &str) -> u16 {
    let World { client, server, refresh_token, sid, key_id, somebody, key_of_somebody, .. } = world;
    let of_somebody = path.replace("{id}", somebody).replace("{key}", key_of_somebody);
    let answer = match (method, path) {
        ("POST", "/v1/auth/register") => client.post(path, &json!({"email": world.email("new"), "password": PASSWORD})),
        ("POST", "/v1/auth/login") => {
            client.post(path, &json!({"email": world.email("somebody"), "password": PASSWORD}))
        }
        ("POST", "/v1/auth/refresh") => client.post(path, &json!({"refresh_token": refresh_token})),
        ("POST", "/oauth2/token") => match &world.subject_token {
            Some(subject_token) => exchange(server, subject_token, &[]),
            None => {
                let token = refresh_token.clone().unwrap_or_default();
                server.client().form(path, &[("grant_type", "refresh_token"), ("refresh_token", &token)])
            }
        },
        ("POST", "/v1/auth/change-password") => {
            client.post(path, &json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"}))
        }
        ("POST", "/v1/auth/login/mfa") => client.post(path, &phone::body("sgm_unknown", "123456")),
        ("POST", "/v1/auth/mfa/totp/confirm") => {
            let enrolment = client.post_empty("/v1/auth/mfa/totp");
            let code = if enrolment.status == 200 { Phone::scan(&enrolment).code(server) } else { "123456".to_owned() };
            client.post(path, &json!({"code": code}))
        }
        ("POST", "/v1/auth/mfa/totp/remove" | "/v1/auth/mfa/recovery-codes") => {
            let is_signed_in = client.get("/v1/auth/sessions").status == 200;
            let code = if is_signed_in { Phone::add(server, client).next_code(server) } else { "123456".to_owned() };
            client.post(path, &json!({"password": PASSWORD, "code": code}))
        }
        // No actor has a token of this kind; whoever has one may use it.
        ("POST", "/v1/auth/verify-email" | "/v1/auth/change-email/confirm" | "/v1/auth/restore") => {
            client.post(path, &json!({"token": "sgv_unknown"}))
        }
        ("POST", "/v1/auth/reset-password") => {
            client.post(path, &json!({"token": "sgp_unknown", "new_password": PASSWORD}))
        }
        ("POST", "/v1/auth/forgot-password" | "/v1/auth/verify-email/resend") => {
            client.post(path, &json!({"email": world.email("somebody")}))
        }
        ("POST", "/v1/auth/change-email") => {
            client.post(path, &json!({"new_email": world.email("new"), "password": PASSWORD}))
        }
        ("POST", "/v1/auth/api-keys") => client.post(path, &json!({"name": "x", "scope": "account"})),
        ("POST", "/v1/auth/api-keys/{id}/rotate") => client.post_empty(&path.replace("{id}", key_id)),
        ("DELETE", "/v1/auth/api-keys/{id}") => client.delete(&path.replace("{id}", key_id)),
        ("POST", "/v1/admin/webhooks") => client.post(path, &json!({"url": "https://hooks.example/"})),
        ("PATCH", "/v1/admin/webhooks/{id}") => client.patch(&path.replace("{id}", sid), &json!({"is_enabled": true})),
        ("POST", "/v1/admin/users" | "/v1/admin/invitations") => {
            client.post(path, &json!({"email": world.email("new")}))
        }
        ("POST", "/v1/admin/users/{id}/api-keys") => client.post(&of_somebody, &json!({"name": "x", "scope": "read"})),
        ("GET", _) if path.starts_with("/v1/admin/users/") => client.get(&of_somebody),
        ("POST", _) if path.starts_with("/v1/admin/users/") => client.post_empty(&of_somebody),
        ("PATCH", _) if path.starts_with("/v1/admin/users/") => client.patch(&of_somebody, &json!({"name": "New"})),
        ("DELETE", _) if path.starts_with("/v1/admin/users/") => client.delete(&of_somebody),
        ("PATCH", _) => client.patch(path, &json!({"name": "New"})),
        ("POST", _) => client.post_empty(path),
        ("DELETE", "/v1/auth/me") => client.delete_with(path, &json!({"password": PASSWORD})),
        ("DELETE", _) => client.delete(&path.replace("{id}", sid)),
        ("GET", _) => client.get(path),
        _ => panic!("{method} {path} is not called here yet"),
    };
    answer.status
}

on_both! {
    fn each_actor_gets_the_answer_that_is_written_down(backend) {
        let server = service(backend, |_| {});
        let mut wrong = Vec::new();
        for (column, actor) in ACTORS.into_iter().enumerate() {
            let mut number = column * 1_000;
            let mut current = world(&server, actor, number);
            for (method, path, statuses) in ANSWERS {
                let got = call(&current, method, path);
                if got != statuses[column] {
                    wrong.push(format!("{method} {path} as {actor:?}: {got} instead of {}", statuses[column]));
                }
                // What may have changed something is the last that this world was good for: no answer depends on another.
                if (200..300).contains(&got) && *method != "GET" {
                    number += 1;
                    current = world(&server, actor, number);
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// What each limited route answers somebody who goes on and on, as the table says.
fn go_on_and_on(world: &World<'_>, method: &str, path: &str) -> Vec<u16> {
    let World { client, server, .. } = world;
    let wrong = "not the password";
    if path == "/v1/auth/login/mfa" {
        return guess_codes(world);
    }
    let attempt = |n: u32| match (method, path) {
        ("POST", "/v1/auth/register") => {
            client.post(path, &json!({"email": format!("new{n}@example.com"), "password": PASSWORD}))
        }
        ("POST", "/v1/auth/login") => client.post(path, &json!({"email": world.email("somebody"), "password": wrong})),
        ("POST", "/v1/auth/change-password") => {
            client.post(path, &json!({"current_password": wrong, "new_password": "a wholly other phrase"}))
        }
        ("DELETE", "/v1/auth/me") => client.delete_with(path, &json!({"password": wrong})),
        ("POST", "/v1/auth/change-email") => {
            client.post(path, &json!({"new_email": "other@example.com", "password": wrong}))
        }
        ("POST", "/v1/auth/forgot-password" | "/v1/auth/verify-email/resend") => {
            client.post(path, &json!({"email": format!("new{n}@example.com")}))
        }
        ("POST", "/v1/auth/mfa/totp/confirm") => {
            if n == 0 {
                client.post_empty("/v1/auth/mfa/totp").expect(200);
            }
            client.post(path, &json!({"code": "not the code"}))
        }
        ("POST", "/v1/auth/mfa/totp/remove" | "/v1/auth/mfa/recovery-codes") => {
            if n == 0 {
                Phone::add(server, client);
            }
            client.post(path, &json!({"password": wrong, "code": "not the code"}))
        }
        ("POST", "/oauth2/token") => {
            let somebody = world.email("somebody");
            let fields = [("grant_type", "password"), ("username", &*somebody), ("password", wrong)];
            server.client().form(path, &fields)
        }
        _ => panic!("{method} {path} has a limit, and nobody reaches it here yet"),
    };
    (0..8).map(|n| attempt(n).status).collect()
}

/// Wrong codes for the actor's own factor, with a challenge for each.
fn guess_codes(world: &World<'_>) -> Vec<u16> {
    let World { client, server, .. } = world;
    Phone::add(server, client);
    let stranger = server.client();
    let guess =
        |_| phone::second_step(&stranger, &phone::first_step(&stranger, &world.email("actor")), "not the code").status;
    (0..8).map(guess).collect()
}

on_both! {
    fn each_route_limits_what_the_table_says_and_no_other_does(backend) {
        for route in PUBLIC {
            let (method, path) = (route.method.as_str(), route.path);
            let server = service(backend, |config| {
                let few = Quota::of(6, Duration::from_secs(3600));
                (config.throttle.registrations, config.throttle.mails) = (few, few);
            });
            let world = world(&server, User, 0);
            let statuses: Vec<u16> = match route.limit {
                RateLimit::Guesses | RateLimit::Registrations | RateLimit::Mails => go_on_and_on(&world, method, path),
                RateLimit::Unlimited => (0..8).map(|_| call(&world, method, path)).collect(),
            };
            assert_eq!(statuses.last() == Some(&429), route.limit != RateLimit::Unlimited, "{method} {path}: {statuses:?}");
            assert_ne!(statuses[0], 429, "{method} {path}: {statuses:?}");
        }
    }
}

#[test]
fn every_route_of_the_table_is_written_down() {
    let table: BTreeSet<_> = PUBLIC.iter().map(|route| (route.method.as_str(), route.path)).collect();
    let written: BTreeSet<_> = ANSWERS.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(table, written);
    let management: Vec<_> = MANAGEMENT.iter().map(|route| (route.method.as_str(), route.path)).collect();
    assert_eq!(management, [("GET", "/metrics"), ("GET", "/health/live"), ("GET", "/health/ready")]);
}
