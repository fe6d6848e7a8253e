//! Below `/v1/admin`: what administrators do, and what nobody else does.

mod abuse;
mod api_keys;
mod disable;
mod idempotency;
mod impersonate;
mod last_admin;
mod reset_mfa;
mod reset_password;
mod restore;
mod roles;
mod search;
mod sessions;
mod statistics;
mod users;

use crate::support::{Answer, Backend, Client, PASSWORD, Server, Value, json, mailbox, token};

/// A service whose administrators get tokens with the scope `admin`.
pub fn start(backend: Backend) -> Server {
    start_with(backend, |_| {})
}

pub fn start_with(backend: Backend, change: impl FnOnce(&mut signet::config::Config)) -> Server {
    Server::start_with(backend, change)
}

/// The same, with a folder for mail.
pub fn start_with_mail(backend: Backend) -> Server {
    start_with(backend, mailbox::into_folder)
}

/// An administrator who is signed in.
pub struct Admin {
    pub client: Client,
    pub id: String,
    pub session: Answer,
}

pub fn admin(server: &Server) -> Admin {
    admin_called(server, "root@example.com")
}

pub fn admin_called(server: &Server, email: &str) -> Admin {
    server.client().register(email);
    server.execute(&format!("UPDATE users SET roles = 'admin user' WHERE email_key = '{email}'"));
    let session = server.client().login(email);
    Admin { client: server.client().bearer(&session.access_token()), id: user_id(&session), session }
}

pub fn user_id(session: &Answer) -> String {
    session.text_at("/user/id")
}

/// The `sid` of an access token.
pub fn sid(answer: &Answer) -> String {
    token::decode(&answer.access_token()).1["sid"].as_str().expect("a session").to_owned()
}

pub fn log_in_with(server: &Server, email: &str, password: &str) -> Answer {
    server.client().post("/v1/auth/login", &json!({"email": email, "password": password}))
}

/// Actor, subject and detail of the events of a kind, oldest first, as text.
pub fn trail(server: &Server, kind: &str) -> Vec<(String, String, Value)> {
    let id = |column: &str| match server.config.database.url.0.starts_with("sqlite") {
        true => format!("nullif(lower(hex({column})), '')"),
        false => format!("replace({column}::text, '-', '')"),
    };
    let detail = if server.config.database.url.0.starts_with("sqlite") { "detail" } else { "detail::text" };
    let sql = format!(
        "SELECT coalesce({}, '-') || '|' || coalesce({}, '-') || '|' || {detail} AS value FROM audit_events \
         WHERE kind = '{kind}' ORDER BY id",
        id("actor"),
        id("subject")
    );
    let parts = |line: String| {
        let mut parts = line.splitn(3, '|').map(str::to_owned);
        let mut next = || parts.next().expect("three parts");
        let (actor, subject, detail) = (next(), next(), next());
        (actor, subject, serde_json::from_str(&detail).expect("JSON"))
    };
    server.query_texts(&sql).into_iter().map(parts).collect()
}

/// An id as [`trail`] writes it.
pub fn bare(id: &str) -> String {
    id.replace('-', "")
}

pub fn expect_password_works(server: &Server, email: &str) -> Answer {
    log_in_with(server, email, PASSWORD).expect(200)
}

/// The same administrator with a token of now.
pub fn signed_in_again(server: &Server, admin: Admin) -> Admin {
    let session = server.client().login("root@example.com");
    Admin { client: server.client().bearer(&session.access_token()), session, ..admin }
}

/// Users who are only there to be in the way, made later than all others (on SQLite but for one or two in a hundred).
pub fn many_users(server: &Server, count: u32) {
    let columns = "email || n, email_key || n, name, password_hash, 'user', is_active, is_verified, access_version, \
                   created_at, last_login_at, disabled_until";
    let names = "(id, email, email_key, name, password_hash, roles, is_active, is_verified, access_version, created_at, \
                 last_login_at, disabled_until)";
    let latest = "(SELECT * FROM users ORDER BY id DESC LIMIT 1) AS latest";
    server.execute(&match server.config.database.url.0.starts_with("sqlite") {
        true => format!(
            "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {count}) \
             INSERT INTO users {names} SELECT randomblob(16), {columns} FROM {latest}, counted"
        ),
        false => format!(
            "INSERT INTO users {names} SELECT overlay(gen_random_uuid()::text placing 'ff' from 1)::uuid, {columns} \
             FROM {latest}, generate_series(1, {count}) AS n"
        ),
    });
}

/// Sessions like the newest of a user.
pub fn many_sessions(server: &Server, email: &str, count: u32) {
    let columns = "user_id, access_version, secret_digest, parent_digest, nonce, generation, rotated_at, created_at, \
                   idle_expires_at, expires_at, revoked_at, revoked_reason, client_id, scope, amr, auth_time, address, \
                   user_agent, label, actor_id, actor_session_id";
    let latest = format!(
        "(SELECT * FROM sessions WHERE user_id = (SELECT id FROM users WHERE email_key = '{email}') \
         ORDER BY id DESC LIMIT 1) AS latest"
    );
    server.execute(&match server.config.database.url.0.starts_with("sqlite") {
        true => format!(
            "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {count}) \
             INSERT INTO sessions SELECT randomblob(16), randomblob(32), {columns} FROM {latest}, counted"
        ),
        false => format!(
            "INSERT INTO sessions SELECT gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), {columns} \
             FROM {latest}, generate_series(1, {count}) AS n"
        ),
    });
}
