//! Every route × every actor: who may call what, in full. A new row in `routes.rs` fails here until it is written down.

use std::collections::BTreeSet;

use signet::routes::{MANAGEMENT, PUBLIC, RateLimit};

use crate::support::mailbox;
use crate::support::{Backend, Client, PASSWORD, Server, json, on_both, token};

/// The actors, in the order of the columns below.
const ACTORS: [&str; 8] = [
    "anonymous",
    "junk token",
    "user",
    "user with narrow scope",
    "logged-out user",
    "disabled user",
    "expired token",
    "administrator",
];

/// Method, path, and the status for each actor.
const ANSWERS: &[(&str, &str, [u16; 8])] = &[
    ("POST", "/v1/auth/register", [201; 8]),
    ("POST", "/v1/auth/verify-email", [400; 8]),
    ("POST", "/v1/auth/verify-email/resend", [202; 8]),
    ("POST", "/v1/auth/forgot-password", [202; 8]),
    ("POST", "/v1/auth/reset-password", [400; 8]),
    ("POST", "/v1/auth/login", [200; 8]),
    // The actor's access token is of no use here; the refresh token in the body is the actor's own.
    ("POST", "/v1/auth/refresh", [400, 401, 200, 200, 401, 401, 200, 200]),
    ("POST", "/v1/auth/logout", [400, 401, 204, 403, 401, 401, 401, 204]),
    ("GET", "/v1/auth/me", [401, 401, 200, 403, 401, 401, 401, 200]),
    ("PATCH", "/v1/auth/me", [401, 401, 200, 403, 401, 401, 401, 200]),
    ("POST", "/v1/auth/change-password", [401, 401, 204, 403, 401, 401, 401, 204]),
    ("POST", "/v1/auth/change-email", [401, 401, 202, 403, 401, 401, 401, 202]),
    ("POST", "/v1/auth/change-email/confirm", [400; 8]),
    ("GET", "/v1/auth/sessions", [401, 401, 200, 403, 401, 401, 401, 200]),
    ("DELETE", "/v1/auth/sessions/{id}", [401, 401, 204, 403, 401, 401, 401, 204]),
    ("GET", "/v1/admin/users", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/users", [401, 401, 403, 403, 401, 401, 401, 201]),
    ("GET", "/v1/admin/users/{id}", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("PATCH", "/v1/admin/users/{id}", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("GET", "/v1/admin/users/{id}/sessions", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("DELETE", "/v1/admin/users/{id}/sessions", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/users/{id}/disable", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/users/{id}/enable", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/users/{id}/reset-password", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/users/{id}/impersonate", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/v1/admin/invitations", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("GET", "/v1/admin/statistics", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("GET", "/v1/admin/keys", [401, 401, 403, 403, 401, 401, 401, 200]),
    ("POST", "/oauth2/token", [400, 400, 200, 200, 400, 400, 200, 200]),
    ("GET", "/.well-known/jwks.json", [200; 8]),
    ("GET", "/.well-known/oauth-authorization-server", [200; 8]),
    ("GET", "/.well-known/openid-configuration", [200; 8]),
];

/// An actor in a world of its own, so that no answer depends on another.
struct World {
    server: Server,
    client: Client,
    refresh_token: Option<String>,
    sid: String,
    /// Somebody else, whom administrators administer.
    somebody: String,
}

fn world(backend: Backend, actor: &str) -> World {
    world_with(backend, actor, |_| {})
}

fn world_with(backend: Backend, actor: &str, change: impl FnOnce(&mut signet::config::Config)) -> World {
    let server = Server::start_with(backend, |config| {
        change(config);
        config.oauth.password_grant = true;
        mailbox::into_folder(config);
        let scope = if actor == "administrator" { "account admin read" } else { "account read" };
        config.oauth.scope = scope.parse().expect("a scope");
    });
    let anonymous = server.client();
    let somebody = anonymous.register("somebody@example.com").text_at("/user/id");
    if actor == "anonymous" {
        return World { server, client: anonymous, refresh_token: None, sid: "x".to_owned(), somebody };
    }
    if actor == "junk token" {
        return World {
            server,
            client: anonymous.bearer("junk"),
            refresh_token: Some("junk".to_owned()),
            sid: "x".to_owned(),
            somebody,
        };
    }
    anonymous.register("actor@example.com");
    let session = if actor == "user with narrow scope" {
        let fields =
            [("grant_type", "password"), ("username", "actor@example.com"), ("password", PASSWORD), ("scope", "read")];
        anonymous.form("/oauth2/token", &fields).expect(200)
    } else {
        anonymous.login("actor@example.com")
    };
    match actor {
        "logged-out user" => {
            drop(anonymous.post("/v1/auth/logout", &json!({"refresh_token": session.refresh_token()})).expect(204))
        }
        "disabled user" => drop(server.execute("UPDATE users SET is_active = false WHERE email = 'actor@example.com'")),
        "administrator" => {
            assert_eq!(server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'actor@example.com'"), 1)
        }
        "expired token" => server.clock.advance(std::time::Duration::from_secs(3_600)),
        _ => {}
    }
    let access_token = session.access_token();
    let sid = token::decode(&access_token).1["sid"].as_str().expect("a session").to_owned();
    let refresh_token = Some(session.refresh_token());
    World { client: anonymous.bearer(&access_token), refresh_token, sid, somebody, server }
}

/// A number that was not there before.
fn fresh() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn call(world: &World, method: &str, path: &str) -> u16 {
    let World { client, server, refresh_token, sid, somebody } = world;
    let of_somebody = path.replace("{id}", somebody);
    let answer = match (method, path) {
        ("POST", "/v1/auth/register") => client.post(path, &json!({"email": "new@example.com", "password": PASSWORD})),
        ("POST", "/v1/auth/login") => {
            client.post(path, &json!({"email": "somebody@example.com", "password": PASSWORD}))
        }
        ("POST", "/v1/auth/refresh") => client.post(path, &json!({"refresh_token": refresh_token})),
        ("POST", "/oauth2/token") => {
            let token = refresh_token.clone().unwrap_or_default();
            server.client().form(path, &[("grant_type", "refresh_token"), ("refresh_token", &token)])
        }
        ("POST", "/v1/auth/change-password") => {
            client.post(path, &json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"}))
        }
        // No actor has a token of this kind; whoever has one may use it.
        ("POST", "/v1/auth/verify-email" | "/v1/auth/change-email/confirm") => {
            client.post(path, &json!({"token": "sgv_unknown"}))
        }
        ("POST", "/v1/auth/reset-password") => {
            client.post(path, &json!({"token": "sgp_unknown", "new_password": PASSWORD}))
        }
        ("POST", "/v1/auth/forgot-password" | "/v1/auth/verify-email/resend") => {
            client.post(path, &json!({"email": "somebody@example.com"}))
        }
        ("POST", "/v1/auth/change-email") => {
            client.post(path, &json!({"new_email": "new@example.com", "password": PASSWORD}))
        }
        ("POST", "/v1/admin/users" | "/v1/admin/invitations") => {
            client.post(path, &json!({"email": format!("new{}@example.com", fresh())}))
        }
        ("GET", _) if path.starts_with("/v1/admin") => client.get(&of_somebody),
        ("POST", _) if path.starts_with("/v1/admin") => client.post_empty(&of_somebody),
        ("PATCH", _) if path.starts_with("/v1/admin") => client.patch(&of_somebody, &json!({"name": "New"})),
        ("DELETE", _) if path.starts_with("/v1/admin") => client.delete(&of_somebody),
        ("PATCH", _) => client.patch(path, &json!({"name": "New"})),
        ("POST", _) => client.post_empty(path),
        ("DELETE", _) => client.delete(&path.replace("{id}", sid)),
        ("GET", _) => client.get(path),
        _ => panic!("{method} {path} is not called here yet"),
    };
    answer.status
}

on_both! {
    fn each_actor_gets_the_answer_that_is_written_down(backend) {
        let mut wrong = Vec::new();
        for (column, actor) in ACTORS.iter().enumerate() {
            for (method, path, statuses) in ANSWERS {
                let got = call(&world(backend, actor), method, path);
                if got != statuses[column] {
                    wrong.push(format!("{method} {path} as {actor}: {got} instead of {}", statuses[column]));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// What each limited route answers somebody who goes on and on, as the table says.
fn go_on_and_on(world: &World, method: &str, path: &str) -> Vec<u16> {
    let World { client, server, .. } = world;
    let wrong = "not the password";
    let attempt = |n: u32| match (method, path) {
        ("POST", "/v1/auth/register") => {
            client.post(path, &json!({"email": format!("new{n}@example.com"), "password": PASSWORD}))
        }
        ("POST", "/v1/auth/login") => client.post(path, &json!({"email": "somebody@example.com", "password": wrong})),
        ("POST", "/v1/auth/change-password") => {
            client.post(path, &json!({"current_password": wrong, "new_password": "a wholly other phrase"}))
        }
        ("POST", "/v1/auth/change-email") => {
            client.post(path, &json!({"new_email": "other@example.com", "password": wrong}))
        }
        ("POST", "/v1/auth/forgot-password" | "/v1/auth/verify-email/resend") => {
            client.post(path, &json!({"email": format!("new{n}@example.com")}))
        }
        ("POST", "/oauth2/token") => {
            let fields = [("grant_type", "password"), ("username", "somebody@example.com"), ("password", wrong)];
            server.client().form(path, &fields)
        }
        _ => panic!("{method} {path} has a limit, and nobody reaches it here yet"),
    };
    (0..8).map(|n| attempt(n).status).collect()
}

on_both! {
    fn each_route_limits_what_the_table_says_and_no_other_does(backend) {
        for route in PUBLIC {
            let (method, path) = (route.method.as_str(), route.path);
            let actor = if path.starts_with("/v1/admin") { "administrator" } else { "user" };
            let world = world_with(backend, actor, |config| {
                let few = signet::config::Quota::of(6, std::time::Duration::from_secs(3600));
                (config.throttle.registrations, config.throttle.mails) = (few, few);
            });
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
