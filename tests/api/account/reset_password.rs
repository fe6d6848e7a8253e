//! `POST /v1/auth/reset-password`.

use std::time::Duration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both};

const NEW: &str = "a wholly other phrase";

fn forgot(server: &Server, email: &str) -> String {
    server.client().post("/v1/auth/forgot-password", &json!({"email": email})).expect(202);
    Mailbox::of(server).newest(email, "reset_password").token()
}

fn reset(client: &Client, token: &str, password: &str) -> Answer {
    client.post("/v1/auth/reset-password", &json!({"token": token, "new_password": password}))
}

fn login(server: &Server, password: &str) -> Answer {
    server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": password}))
}

on_both! {
    fn the_new_password_is_in_force_every_session_is_over_and_none_begins(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        let session = server.client().register("ada@example.com");
        let stranger = server.client().register("eve@example.com");
        let token = forgot(&server, "ada@example.com");
        let answer = reset(&server.client(), &token, NEW).expect(204);
        assert_eq!((answer.text.as_str(), answer.header("set-cookie")), ("", ""));
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&stranger.refresh_token()).expect(200);
        login(&server, PASSWORD).expect_problem(401, "invalid_credentials");
        let me = login(&server, NEW).expect(200);
        assert_eq!(me.json()["user"]["is_verified"], json!(true), "the token came by mail");
        assert_eq!(server.audited("authn_password_reset"), 1);
        let reason = "SELECT revoked_reason AS value FROM sessions WHERE revoked_at IS NOT NULL";
        assert_eq!(server.query_text(reason), "password_reset");
        let notice = Mailbox::of(&server).newest("ada@example.com", "password_changed");
        assert!(notice.text.contains("2026-11-21 10:00 UTC"), "{}", notice.text);
    }

    fn a_token_works_once_even_for_sixty_four_at_once(backend) {
        let server = Server::start_with(backend, |config| {
            mailbox::into_folder(config);
            config.hashing.threads = 2;
        });
        server.client().register("ada@example.com");
        let token = forgot(&server, "ada@example.com");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|number| { let (client, token) = (server.client(), token.clone()); scope.spawn(move || reset(&client, &token, &format!("{NEW} {number}")).status) })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        let count = |status| statuses.iter().filter(|own| **own == status).count();
        assert_eq!((count(204), count(400)), (1, 63), "{statuses:?}");
        let winner = statuses.iter().position(|status| *status == 204).expect("one");
        login(&server, &format!("{NEW} {winner}")).expect(200);
        assert_eq!(server.audited("authn_password_reset"), 1);
    }

    fn what_does_not_work_is_answered_alike_and_costs_one_hash(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let used = forgot(&server, "ada@example.com");
        reset(&server.client(), &used, NEW).expect(204);
        server.clock.advance(Duration::from_secs(60));
        let expired = forgot(&server, "ada@example.com");
        server.clock.advance(Duration::from_secs(30 * 60));
        let unknown = {
            let other = Server::start_with(Backend::Sqlite, mailbox::into_folder);
            other.client().register("ada@example.com");
            forgot(&other, "ada@example.com")
        };
        let hashes = || server.metric("signet_hash_duration_seconds_count");
        let mut bodies = Vec::new();
        for token in [&used, &expired, &unknown] {
            let before = hashes();
            let answer = reset(&server.client(), token, "yet another phrase").expect_problem(400, "invalid_one_time_token");
            assert_eq!(hashes(), before + 1.0);
            let mut body = answer.json();
            body["request_id"] = json!(null);
            bodies.push(body);
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
        login(&server, NEW).expect(200);
    }

    fn a_token_is_good_for_its_own_purpose_and_user_only(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        server.client().register("eve@example.com");
        let mailbox = Mailbox::of(&server);
        let verify = mailbox.newest("ada@example.com", "verify_email").token();
        let reset_token = forgot(&server, "eve@example.com");
        let client = server.client();
        // As they are, and with the other's prefix over a checksum that is right.
        for token in [verify.clone(), verify.replace("sgv_", "sgp_")] {
            reset(&client, &token, NEW).expect_problem(400, "invalid_one_time_token");
        }
        for token in [reset_token.clone(), reset_token.replace("sgp_", "sgv_")] {
            client.post("/v1/auth/verify-email", &json!({"token": token})).expect_problem(400, "invalid_one_time_token");
        }
        for token in [verify.replace("sgv_", "sgo_"), reset_token.replace("sgp_", "sgn_")] {
            client.post("/v1/auth/change-email/confirm", &json!({"token": token})).expect_problem(400, "invalid_one_time_token");
        }
        // None of that has used them up.
        reset(&client, &reset_token, NEW).expect(204);
        client.post("/v1/auth/verify-email", &json!({"token": verify})).expect(204);
        login(&server, PASSWORD).expect(200);
        let eve = json!({"email": "eve@example.com", "password": NEW});
        client.post("/v1/auth/login", &eve).expect(200);
    }

    fn a_password_that_is_refused_leaves_the_token(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let token = forgot(&server, "ada@example.com");
        for (password, code) in [("short77", "too_short"), ("password123", "too_common"), ("ada@example.com", "too_personal")] {
            let answer = reset(&server.client(), &token, password).expect_problem(422, "invalid_field");
            assert_eq!(answer.field_errors(), [("new_password".to_owned(), code.to_owned())]);
        }
        reset(&server.client(), &token, NEW).expect(204);
    }

    fn a_changed_password_and_a_disabled_account_void_the_token(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        let session = server.client().register("ada@example.com");
        let token = forgot(&server, "ada@example.com");
        let change = json!({"current_password": PASSWORD, "new_password": NEW});
        server.client().bearer(&session.access_token()).post("/v1/auth/change-password", &change).expect(204);
        Mailbox::of(&server).newest("ada@example.com", "password_changed");
        reset(&server.client(), &token, "yet another phrase").expect_problem(400, "invalid_one_time_token");

        server.clock.advance(Duration::from_secs(60));
        let token = forgot(&server, "ada@example.com");
        server.execute("UPDATE users SET is_active = false");
        reset(&server.client(), &token, "yet another phrase").expect_problem(400, "invalid_one_time_token");
        server.execute("UPDATE users SET is_active = true");
        login(&server, NEW).expect(200);
    }

    fn a_log_in_that_was_under_way_with_the_old_password_opens_nothing_afterwards(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        server.client().register("ada@example.com");
        let token = forgot(&server, "ada@example.com");
        let sessions: Vec<Answer> = std::thread::scope(|scope| {
            let logins: Vec<_> = (0..8).map(|_| scope.spawn(|| login(&server, PASSWORD))).collect();
            reset(&server.client(), &token, NEW).expect(204);
            logins.into_iter().map(|login| login.join().expect("answered")).collect()
        });
        for session in sessions.iter().filter(|answer| answer.status == 200) {
            server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        }
        let live = "SELECT count(*) AS value FROM sessions WHERE revoked_at IS NULL";
        assert_eq!(server.query_number(live), 0);
    }
}
