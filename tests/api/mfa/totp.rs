//! `/v1/auth/mfa`, `…/totp`, `…/totp/confirm`, `…/totp/remove`, `…/recovery-codes`: a factor's life.

use std::time::Duration;

use super::*;
use crate::support::phone::{first_step, log_in, second_step};
use crate::support::{PASSWORD, json, on_both};

fn both(code: &str) -> crate::support::Value {
    json!({"password": PASSWORD, "code": code})
}

on_both! {
    fn a_factor_counts_once_a_code_of_it_was_shown(backend) {
        let server = start(backend);
        let session = server.client().register("ada@example.com");
        let me = bearer(&server, &session);
        let none = json!({"totp": null, "recovery_codes_left": 0, "can_enrol": true});
        assert_eq!(me.get("/v1/auth/mfa").expect(200).json(), none);

        let enrolment = me.post_empty("/v1/auth/mfa/totp").expect(200);
        assert_eq!(enrolment.header("cache-control"), "no-store");
        let uri = enrolment.text_at("/otpauth_uri");
        assert!(uri.starts_with("otpauth://totp/127.0.0.1:ada%40example.com?secret="), "{uri}");
        assert!(enrolment.text_at("/qr_svg").starts_with("<svg "));
        let phone = Phone::scan(&enrolment);
        // Not yet.
        assert_eq!(me.get("/v1/auth/mfa").expect(200).json(), none);
        server.client().login("ada@example.com");

        let confirm = |code: &str| me.post("/v1/auth/mfa/totp/confirm", &json!({"code": code}));
        for wrong in [phone.wrong_code(&server).as_str(), "", "password"] {
            confirm(wrong).expect_problem(401, "invalid_mfa_code");
        }
        server.client().login("ada@example.com");
        let answer = confirm(&phone.code(&server)).expect(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let codes: Vec<String> = serde_json::from_value(answer.json()["recovery_codes"].clone()).expect("codes");
        let distinct: std::collections::BTreeSet<&String> = codes.iter().collect();
        assert_eq!((codes.len(), distinct.len()), (10, 10));
        assert!(codes.iter().all(|code| code.len() == 19), "{codes:?}");
        let status = me.get("/v1/auth/mfa").expect(200).json();
        let confirmed_at = server.clock.now().to_string();
        assert_eq!(status, json!({"totp": {"confirmed_at": confirmed_at}, "recovery_codes_left": 10, "can_enrol": true}));
        first_step(&server.client(), "ada@example.com");
        for (kind, times) in [("user_factor_enrolment_begun", 1), ("authn_factor_fail", 3), ("user_factor_added", 1)] {
            assert_eq!(server.audited(kind), times, "{kind}");
        }
    }

    fn enrolment_ends_every_other_session_and_no_other_users(backend) {
        let server = start(backend);
        let other = server.client().register("ada@example.com");
        let own = server.client().login("ada@example.com");
        let eve = server.client().register("eve@example.com");
        Phone::add(&server, &bearer(&server, &own));
        server.client().refresh(&other.refresh_token()).expect_problem(401, "invalid_grant");
        bearer(&server, &other).get("/v1/auth/me").expect_problem(401, "invalid_token");
        server.client().refresh(&own.refresh_token()).expect(200);
        server.client().refresh(&eve.refresh_token()).expect(200);
        server.client().login("eve@example.com");
        assert_eq!(server.count("sessions WHERE revoked_reason = 'factor_added'"), 1);
    }

    fn the_newest_secret_is_the_one_to_confirm(backend) {
        let server = start(backend);
        let me = bearer(&server, &server.client().register("ada@example.com"));
        let first = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
        let second = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
        let confirm = |phone: &Phone| me.post("/v1/auth/mfa/totp/confirm", &json!({"code": phone.code(&server)}));
        confirm(&first).expect_problem(401, "invalid_mfa_code");
        confirm(&second).expect(200);
        confirm(&second).expect_problem(409, "factor_exists");
        me.post_empty("/v1/auth/mfa/totp").expect_problem(409, "factor_exists");
        assert_eq!(server.count("totp_factors"), 1);
    }

    fn a_secret_waits_for_an_hour(backend) {
        let server = start(backend);
        // So that the log-in is recent enough whenever.
        let server = Server::start_beside(&server, server.clock.clone(), |config| config.step_up.max_age.0 = Duration::ZERO);
        let session = server.client().register("ada@example.com");
        let me = bearer(&server, &session);
        let phone = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
        server.clock.advance(Duration::from_secs(3600));
        let me = bearer(&server, &server.client().refresh(&session.refresh_token()).expect(200));
        let confirm = |phone: &Phone| me.post("/v1/auth/mfa/totp/confirm", &json!({"code": phone.code(&server)}));
        confirm(&phone).expect_problem(404, "not_found");
        confirm(&Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200))).expect(200);
    }

    fn without_a_secret_there_is_nothing_to_confirm_or_remove(backend) {
        let server = start(backend);
        let me = bearer(&server, &server.client().register("ada@example.com"));
        me.post("/v1/auth/mfa/totp/confirm", &json!({"code": "123456"})).expect_problem(404, "not_found");
        for path in ["/v1/auth/mfa/totp/remove", "/v1/auth/mfa/recovery-codes"] {
            me.post(path, &both("123456")).expect_problem(404, "not_found");
            // One that waits is none.
            me.post_empty("/v1/auth/mfa/totp").expect(200);
            me.post(path, &both("123456")).expect_problem(404, "not_found");
        }
    }

    fn two_who_confirm_at_once_get_one_list_of_codes(backend) {
        let server = start(backend);
        let me = bearer(&server, &server.client().register("ada@example.com"));
        let phone = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
        let code = phone.code(&server);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| me.post("/v1/auth/mfa/totp/confirm", &json!({"code": code})))).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| [200, 404, 409].contains(&answer.status)), "{answers:?}");
        assert_eq!((server.count("recovery_codes"), server.audited("user_factor_added")), (10, 1));
    }

    fn removal_takes_both_factors_and_ends_other_sessions(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let other = log_in(&server, &server.client(), "ada@example.com", &phone);
        let own = log_in(&server, &server.client(), "ada@example.com", &phone);
        let me = bearer(&server, &own);
        let remove = |body| me.post("/v1/auth/mfa/totp/remove", &body);
        let wrong = remove(both(&phone.wrong_code(&server))).expect_problem(401, "invalid_credentials");
        let code = phone.next_code(&server);
        let same = remove(json!({"password": "not the password", "code": code})).expect_problem(401, "invalid_credentials");
        assert_eq!(wrong.json()["detail"], same.json()["detail"]);
        remove(json!({"code": code})).expect(422);
        assert_eq!(me.get("/v1/auth/mfa").json()["recovery_codes_left"], 10);
        // The code was not used up by coming with a wrong password.
        let removed = remove(both(&code)).expect(204);
        assert_eq!(removed.text, "");
        assert_eq!(me.get("/v1/auth/mfa").json(), json!({"totp": null, "recovery_codes_left": 0, "can_enrol": true}));
        server.client().refresh(&other.refresh_token()).expect_problem(401, "invalid_grant");
        server.client().login("ada@example.com");
        assert_eq!([server.count("totp_factors"), server.count("recovery_codes"), server.count("mfa_challenges")], [0; 3]);
        assert_eq!((server.audited("user_factor_removed"), server.audited("authn_factor_fail")), (1, 2));
        // And again from the beginning.
        Phone::add(&server, &me);
    }

    fn a_recovery_code_removes_the_lost_phone(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let me = bearer(&server, &session);
        me.post("/v1/auth/mfa/totp/remove", &both(&phone.recovery_codes[3])).expect(204);
        server.client().login("ada@example.com");
        assert_eq!(server.audited("authn_recovery_code_used"), 1);
    }

    fn new_recovery_codes_void_the_old_ones(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let me = bearer(&server, &session);
        let renew = |body| me.post("/v1/auth/mfa/recovery-codes", &body);
        renew(both(&phone.wrong_code(&server))).expect_problem(401, "invalid_credentials");
        let answer = renew(both(&phone.next_code(&server))).expect(200);
        let new: Vec<String> = serde_json::from_value(answer.json()["recovery_codes"].clone()).expect("codes");
        assert!(new.len() == 10 && new.iter().all(|code| !phone.recovery_codes.contains(code)));
        let challenge = first_step(&server.client(), "ada@example.com");
        second_step(&server.client(), &challenge, &phone.recovery_codes[0]).expect_problem(401, "invalid_mfa_code");
        second_step(&server.client(), &challenge, &new[0]).expect(200);
        assert_eq!(me.get("/v1/auth/mfa").json()["recovery_codes_left"], 9);
        assert_eq!(server.audited("user_recovery_codes_made"), 1);
    }

    fn without_a_key_nobody_adds_a_factor_and_recovery_codes_still_work(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let keyless = Server::start_beside(&server, server.clock.clone(), |config| config.mfa.secret_key.0.clear());
        let eve = bearer(&keyless, &keyless.client().register("eve@example.com"));
        eve.post_empty("/v1/auth/mfa/totp").expect_problem(403, "forbidden");
        assert_eq!(eve.get("/v1/auth/mfa").json()["can_enrol"], false);
        let challenge = first_step(&keyless.client(), "ada@example.com");
        second_step(&keyless.client(), &challenge, &phone.next_code(&keyless)).expect_problem(503, "unavailable");
        second_step(&keyless.client(), &challenge, &phone.recovery_codes[0]).expect(200);
    }

    fn a_key_can_be_replaced_and_secrets_follow(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let new = "bmV3IGtleSBvZiB0aGUgc2lnbmV0IHRlc3Qgc3VpdGU=";
        let rotated = Server::start_beside(&server, server.clock.clone(), |config| {
            let old = std::mem::replace(&mut config.mfa.secret_key.0, new.to_owned());
            config.mfa.older_secret_keys = vec![signet::config::Secret(old)];
        });
        log_in(&rotated, &rotated.client(), "ada@example.com", &phone);
        // Sealed anew by that, so the old key is not needed any more.
        let alone = Server::start_beside(&server, server.clock.clone(), |config| config.mfa.secret_key.0 = new.to_owned());
        log_in(&alone, &alone.client(), "ada@example.com", &phone);
        let challenge = first_step(&server.client(), "ada@example.com");
        second_step(&server.client(), &challenge, &phone.next_code(&server)).expect_problem(503, "unavailable");
    }

    fn a_copy_of_the_database_has_neither_secrets_nor_codes(backend) {
        let server = start(backend);
        let session = server.client().register("ada@example.com");
        let me = bearer(&server, &session);
        let enrolment = me.post_empty("/v1/auth/mfa/totp").expect(200);
        let phone = Phone::scan(&enrolment);
        let answer = me.post("/v1/auth/mfa/totp/confirm", &json!({"code": phone.code(&server)})).expect(200);
        let challenge = first_step(&server.client(), "ada@example.com");
        let raw = totp_rs::Secret::try_from_base32(enrolment.text_at("/secret")).expect("base32");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let codes: Vec<String> = serde_json::from_value(answer.json()["recovery_codes"].clone()).expect("codes");
        let mut secrets = vec![enrolment.text_at("/secret"), hex(raw.as_bytes()), challenge.clone(), challenge[4..].to_owned()];
        secrets.extend(codes.iter().map(|code| code.replace('-', "")));
        secrets.extend(codes);
        let dump = dump(&server, backend);
        assert!(dump.contains("ada@example.com") && dump.len() > 500, "{dump}");
        for secret in secrets {
            assert!(!dump.contains(&secret.to_lowercase()), "{secret} in {dump}");
        }
    }
}

/// All there is about anybody, in lower case, bytes in hexadecimal.
fn dump(server: &Server, backend: Backend) -> String {
    let tables = ["users", "totp_factors", "recovery_codes", "mfa_challenges", "audit_events", "outbox", "sessions"];
    let rows = |table: &str| match backend {
        Backend::Postgres => server.query_texts(&format!("SELECT t::text AS value FROM {table} t")),
        Backend::Sqlite => {
            let columns = server.query_text(&format!(
                "SELECT group_concat('quote(' || name || ')', '||') AS value FROM pragma_table_info('{table}')"
            ));
            server.query_texts(&format!("SELECT {columns} AS value FROM {table}"))
        }
    };
    tables.iter().flat_map(|table| rows(table)).collect::<String>().to_lowercase()
}
