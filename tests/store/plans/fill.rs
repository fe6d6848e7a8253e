//! A database as it is after some time in service, for the planner to judge by.

use diesel::connection::SimpleConnection;
use signet::db::Conn;

/// What the planner is to know the size of.
const FILLED: [&str; 14] = [
    "users",
    "sessions",
    "audit_events",
    "audit_seals",
    "webhook_endpoints",
    "webhook_deliveries",
    "throttles",
    "idempotency_keys",
    "known_sources",
    "api_keys",
    "api_key_sources",
    "totp_factors",
    "recovery_codes",
    "mfa_challenges",
];

/// So many rows that no table is read whole only because it is small; SQLite plans the same for any number.
pub(super) fn fill(database: &mut Conn) {
    if let Conn::Pg(c) = database {
        c.batch_execute(
            "SET statement_timeout = 0; \
             INSERT INTO users SELECT gen_random_uuid(), email || n, email_key || n, name, password_hash, roles, is_active, \
                 is_verified, access_version, created_at, last_login_at \
             FROM (SELECT * FROM users ORDER BY id DESC LIMIT 1) AS latest, generate_series(1, 2000) AS n; \
             INSERT INTO sessions SELECT gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), users.id, \
                 latest.access_version, secret_digest, parent_digest, nonce, generation, rotated_at, latest.created_at, \
                 idle_expires_at, expires_at, revoked_at, revoked_reason, client_id, scope, amr, auth_time, address, \
                 user_agent, label \
             FROM (SELECT * FROM sessions ORDER BY id DESC LIMIT 1) AS latest, generate_series(1, 10) AS n, users; \
             INSERT INTO audit_events SELECT gen_random_uuid(), at, kind, users.id, users.id, session_id, address, \
                 user_agent, request_id, detail \
             FROM (SELECT * FROM audit_events ORDER BY id DESC LIMIT 1) AS latest, generate_series(1, 10) AS n, users; \
             INSERT INTO audit_seals SELECT 1000000 + row_number() OVER (), id, sha256(uuid_send(id)), at FROM audit_events \
                 WHERE id NOT IN (SELECT event_id FROM audit_seals); \
             INSERT INTO webhook_endpoints SELECT gen_random_uuid(), 'https://hooks.example/', NULL, '', 'x', NULL, NULL, false, \
                 NULL, now() FROM generate_series(1, 2000); \
             INSERT INTO webhook_deliveries SELECT webhook_endpoints.id, gen_random_uuid(), '{}', 'user.created', 'delivered', 1, \
                 NULL, now() FROM webhook_endpoints, generate_series(1, 5); \
             INSERT INTO throttles SELECT sha256(uuid_send(gen_random_uuid())), now(), now() FROM generate_series(1, 20000); \
             INSERT INTO idempotency_keys SELECT sha256(uuid_send(gen_random_uuid())), '', '', now() \
                 FROM generate_series(1, 20000); \
             INSERT INTO known_sources SELECT gen_random_uuid(), users.id, 'address', sha256(uuid_send(gen_random_uuid())), \
                 now() FROM users, generate_series(1, 5); \
             INSERT INTO api_keys SELECT gen_random_uuid(), users.id, 'x', uuid_send(gen_random_uuid()), \
                 sha256(uuid_send(gen_random_uuid())), NULL, NULL, 'account', now(), now(), now() + interval '90 d' \
                 FROM users, generate_series(1, 5); \
             INSERT INTO api_key_sources SELECT gen_random_uuid(), api_keys.id, n::text, now() \
                 FROM api_keys, generate_series(1, 3) AS n; \
             INSERT INTO totp_factors SELECT gen_random_uuid(), id, ''::bytea, ''::bytea, now(), now(), 0 FROM users; \
             INSERT INTO recovery_codes SELECT id, sha256(uuid_send(gen_random_uuid())) \
                 FROM users, generate_series(1, 10); \
             INSERT INTO mfa_challenges SELECT gen_random_uuid(), id, sha256(uuid_send(gen_random_uuid())), ''::bytea, \
                 '', '', NULL, false, false, 0, now() FROM users, generate_series(1, 5);",
        )
        .expect("filled");
        for table in FILLED {
            c.batch_execute(&format!("VACUUM (ANALYZE) {table}")).expect(table);
        }
    }
}
