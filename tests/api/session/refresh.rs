//! `POST /v1/auth/refresh`: every row of the state table, and what surrounds it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet::config::Period;

use crate::support::{Backend, Server, json, on_both, token};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

fn generation(server: &Server) -> i64 {
    server.query_number("SELECT generation AS value FROM sessions")
}

fn count(server: &Server, outcome: &str) -> f64 {
    server.metric(&format!("signet_refreshes_total{{outcome=\"{outcome}\"}}"))
}

on_both! {
    fn the_current_token_is_rotated(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.clock.advance(DAY);
        let answer = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        let mut members: Vec<&String> = body.as_object().expect("tokens").keys().collect();
        members.sort();
        assert_eq!(members, ["access_token", "expires_in", "refresh_expires_in", "refresh_token", "scope", "token_type"]);
        assert_eq!(body["refresh_expires_in"], 604_800, "the idle time starts anew");
        assert_ne!(answer.refresh_token(), session.refresh_token());
        let (before, after) = (token::decode(&session.access_token()).1, token::decode(&answer.access_token()).1);
        for same in ["iss", "sub", "aud", "sid", "client_id", "scope", "roles", "auth_time", "amr"] {
            assert_eq!(before[same], after[same], "{same}");
        }
        assert_ne!(before["jti"], after["jti"]);
        assert_eq!(after["iat"], before["iat"].as_i64().expect("a number") + 86_400);
        assert_eq!(generation(&server), 1);
        assert_eq!(server.count("sessions"), 1);
        assert_eq!(count(&server, "rotated"), 1.0);
        assert_eq!(server.audit(), ["user_registered"], "an ordinary rotation is no event");
    }

    fn a_long_chain_of_rotations_keeps_one_row(backend) {
        let server = Server::start(backend);
        let mut session = server.client().register("ada@example.com");
        for _ in 0..20 {
            server.clock.advance(SECOND);
            session = server.client().refresh(&session.refresh_token()).expect(200);
        }
        assert_eq!(generation(&server), 20);
        assert_eq!(server.count("sessions"), 1);
    }

    fn the_parent_within_the_grace_window_gives_the_same_successor(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let first = server.client().refresh(&session.refresh_token()).expect(200);
        server.clock.advance(GRACE - Duration::from_micros(1));
        let again = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(again.refresh_token(), first.refresh_token());
        assert_eq!(again.json()["refresh_expires_in"], 604_800 - 30, "no life is added by asking again");
        assert_eq!(generation(&server), 1);
        assert_eq!(count(&server, "repeated"), 1.0);
        server.client().refresh(&first.refresh_token()).expect(200);
    }

    fn parallel_refreshes_of_one_token_converge(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let (client, presented) = (server.client(), session.refresh_token());
        let successors: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..50)
                .map(|_| scope.spawn(|| client.refresh(&presented).expect(200).refresh_token()))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert!(successors.iter().all(|successor| *successor == successors[0]), "one successor");
        assert_eq!(generation(&server), 1);
        assert_eq!((count(&server, "rotated"), count(&server, "repeated")), (1.0, 49.0));
    }

    fn the_parent_later_recovers_the_lost_response_and_voids_the_lost_token(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let lost = server.client().refresh(&session.refresh_token()).expect(200);
        server.clock.advance(GRACE);
        let recovered = server.client().refresh(&session.refresh_token()).expect(200);
        assert_ne!(recovered.refresh_token(), lost.refresh_token());
        assert_eq!(generation(&server), 2);
        assert_eq!(server.audited("authn_token_recovered"), 1);
        let detail = "SELECT CAST(detail AS text) AS value FROM audit_events WHERE kind = 'authn_token_recovered'";
        let detail: serde_json::Value = serde_json::from_str(&server.query_text(detail)).expect("JSON");
        assert_eq!(detail["generation"], 2, "the one that it begins");
        assert_eq!(count(&server, "recovered"), 1.0);
        // The honest client goes on …
        let next = server.client().refresh(&recovered.refresh_token()).expect(200);
        // … and whoever comes with the lost token proves that two hold the session.
        server.client().refresh(&lost.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn a_lost_response_can_be_recovered_more_than_once(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.client().refresh(&session.refresh_token()).expect(200);
        for round in 2..5 {
            server.clock.advance(GRACE);
            server.client().refresh(&session.refresh_token()).expect(200);
            assert_eq!(generation(&server), round);
        }
        assert_eq!(server.audited("authn_token_recovered"), 3);
    }

    fn an_older_token_ends_the_family(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let other = server.client().login("ada@example.com");
        let second = server.client().refresh(&first.refresh_token()).expect(200);
        let third = server.client().refresh(&second.refresh_token()).expect(200);
        server.client().refresh(&first.refresh_token()).expect_problem(401, "invalid_grant");
        for token in [&first, &second, &third] {
            server.client().refresh(&token.refresh_token()).expect_problem(401, "invalid_grant");
        }
        server.client().bearer(&third.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        assert_eq!(server.audited("authn_token_reuse"), 1, "a dead family is not reused again");
        assert_eq!(count(&server, "reused"), 1.0);
        assert_eq!(count(&server, "revoked"), 3.0);
        let reason = "SELECT revoked_reason AS value FROM sessions WHERE revoked_at IS NOT NULL";
        assert_eq!(server.query_text(reason), "token_reused");
        server.client().refresh(&other.refresh_token()).expect(200);
    }

    fn an_invented_secret_under_a_known_handle_ends_the_family(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let presented = session.refresh_token();
        let mut bytes = URL_SAFE_NO_PAD.decode(presented.strip_prefix("sgr_").expect("the prefix")).expect("base64url");
        bytes[20] ^= 1;
        let checksum = crc32fast::hash(&bytes[..48]).to_be_bytes();
        bytes[48..].copy_from_slice(&checksum);
        let forged = format!("sgr_{}", URL_SAFE_NO_PAD.encode(&bytes));
        server.client().refresh(&forged).expect_problem(401, "invalid_grant");
        server.client().refresh(&presented).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn recovery_is_bounded_where_configured(backend) {
        let server = Server::start_with(backend, |config| config.session.recovery = Some(Period(60 * SECOND)));
        let session = server.client().register("ada@example.com");
        server.client().refresh(&session.refresh_token()).expect(200);
        server.clock.advance(59 * SECOND);
        let recovered = server.client().refresh(&session.refresh_token()).expect(200);
        server.clock.advance(60 * SECOND);
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().refresh(&recovered.refresh_token()).expect_problem(401, "invalid_grant");
    }

    fn rotation_is_strict_with_neither_grace_nor_recovery(backend) {
        let server = Server::start_with(backend, |config| {
            config.session.grace = Period(Duration::ZERO);
            config.session.recovery = Some(Period(Duration::ZERO));
        });
        let session = server.client().register("ada@example.com");
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn a_session_ends_when_it_is_idle(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.clock.advance(7 * DAY - Duration::from_micros(1));
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        server.clock.advance(7 * DAY);
        server.client().refresh(&next.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(count(&server, "expired"), 1.0);
        assert_eq!(server.audited("authn_token_reuse"), 0);
    }

    fn a_session_ends_at_its_absolute_age_however_busy_it_is(backend) {
        let server = Server::start(backend);
        let mut session = server.client().register("ada@example.com");
        for _ in 0..5 {
            server.clock.advance(5 * DAY);
            session = server.client().refresh(&session.refresh_token()).expect(200);
        }
        assert_eq!(session.json()["refresh_expires_in"], 5 * 86_400, "never past the end");
        server.clock.advance(5 * DAY - Duration::from_micros(1));
        let last = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(last.json()["refresh_expires_in"], 0);
        server.clock.advance(Duration::from_micros(1));
        server.client().refresh(&last.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&last.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn a_disabled_users_session_is_refused_and_not_revoked_by_asking(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.execute("UPDATE users SET is_active = false");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(count(&server, "disabled"), 1.0);
        assert_eq!(generation(&server), 0);
        assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 1);
    }

    fn a_refresh_carries_the_roles_as_they_are_now(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.execute("UPDATE users SET roles = 'admin user', access_version = access_version + 1");
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(token::decode(&next.access_token()).1["roles"], json!(["admin", "user"]));
        server.client().refresh(&next.refresh_token()).expect(200);
        assert_eq!(count(&server, "rotated"), 2.0);
    }

    fn a_mangled_token_is_refused_without_a_query_and_its_family_lives_on(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let token = session.refresh_token();
        let queries = || server.metric("signet_database_wait_seconds_count");
        let before = queries();
        let flipped = {
            let mut bytes = token.clone().into_bytes();
            bytes[30] = if bytes[30] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).expect("ASCII")
        };
        let access = session.access_token();
        for mangled in ["", "sgr_", &token[..token.len() - 1], &token[1..], &format!("{token}A"), &flipped, &token.to_uppercase(), &access] {
            server.client().refresh(mangled).expect_problem(401, "invalid_grant");
        }
        assert_eq!(queries(), before);
        assert_eq!(count(&server, "mangled"), 8.0);
        server.client().refresh(&token).expect(200);
    }

    fn a_token_that_was_never_issued_is_refused(backend) {
        let server = Server::start(backend);
        let stranger = signet::session::token::RefreshToken::generate().to_text();
        server.client().refresh(&stranger).expect_problem(401, "invalid_grant");
        assert_eq!(count(&server, "unknown"), 1.0);
        assert_eq!(server.audit(), Vec::<String>::new());
    }

    fn a_missing_token_is_a_malformed_request(backend) {
        let server = Server::start(backend);
        server.client().post("/v1/auth/refresh", &json!({})).expect_problem(400, "invalid_request");
        server.client().post_empty("/v1/auth/refresh").expect_problem(400, "invalid_request");
        server.client().post("/v1/auth/refresh", &json!({"refresh_token": 7})).expect_problem(422, "invalid_field");
        server.client().post("/v1/auth/refresh", &json!({"refresh_token": "x", "all": true})).expect_problem(422, "invalid_field");
    }

    fn nothing_of_a_token_is_stored_in_clear(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        let hex = if backend == Backend::Postgres { "encode" } else { "hex" };
        let column = |name: &str| match hex {
            "encode" => server.query_text(&format!("SELECT encode({name}, 'hex') AS value FROM sessions")),
            _ => server.query_text(&format!("SELECT lower(hex({name})) AS value FROM sessions")),
        };
        let stored: String = ["handle_digest", "secret_digest", "parent_digest", "nonce"].map(column).concat();
        for token in [session.refresh_token(), next.refresh_token()] {
            let bytes = URL_SAFE_NO_PAD.decode(&token[4..]).expect("base64url");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!stored.contains(&hex[..32]) && !stored.contains(&hex[32..96]));
        }
    }
}
