//! `POST /v1/auth/login/mfa`: log-ins of two steps.

use std::time::Duration;

use super::*;
use crate::support::phone::{STEP, body, first_step, log_in, second_step};
use crate::support::{PASSWORD, json, on_both, token};

on_both! {
    fn a_right_password_gets_a_challenge_and_nothing_else(backend) {
        let server = start(backend);
        let (_, _) = with_phone(&server);
        let (sessions, last_login) = (server.count("sessions"), me_last_login(&server));
        server.clock.advance(Duration::from_secs(100));
        let answer = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
        let answer = answer.expect_problem(401, "mfa_required");
        let json = answer.json();
        let mut members: Vec<&String> = json.as_object().expect("an object").keys().collect();
        members.sort();
        assert_eq!(members, ["code", "detail", "expires_in", "mfa_token", "request_id", "status", "title", "type"]);
        assert!(answer.text_at("/mfa_token").starts_with("sgm_") && json["expires_in"] == 300);
        assert_eq!((answer.header("cache-control"), answer.header("set-cookie")), ("no-store", ""));
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"signet\"");
        assert_eq!((server.count("sessions"), me_last_login(&server)), (sessions, last_login), "nobody has logged in");
        assert_eq!((server.audited("authn_factor_required"), server.audited("authn_login_success")), (1, 0));
        assert_eq!(server.metric("signet_logins_total{outcome=\"mfa_required\"}"), 1.0);
        // A wrong password is told as ever.
        let wrong = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": "wrong one"}));
        assert!(wrong.expect_problem(401, "invalid_credentials").json().get("mfa_token").is_none());
    }

    fn the_right_code_opens_a_session_that_says_so(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let code = phone.next_code(&server);
        let session = second_step(&server.client(), &challenge, &code).expect(200);
        let claims = token::decode(&session.access_token()).1;
        assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
        assert_eq!((claims["acr"].as_str(), claims["auth_time"].as_i64()), (Some("urn:signet:acr:mfa"), Some(server.clock.now().as_seconds())));
        assert_eq!(session.text_at("/user/last_login_at"), server.clock.now().to_string());
        bearer(&server, &session).get("/v1/auth/me").expect(200);
        // A refresh hands both on.
        let auth_time = claims["auth_time"].clone();
        server.clock.advance(Duration::from_secs(1000));
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        let claims = token::decode(&refreshed.access_token()).1;
        assert_eq!((&claims["amr"], &claims["auth_time"]), (&json!(["pwd", "otp", "mfa"]), &auth_time));
        assert_eq!(server.count("mfa_challenges"), 0);
        let detail = if backend == Backend::Postgres { "detail::text" } else { "detail" };
        let detail = server.query_text(&format!("SELECT {detail} AS value FROM audit_events WHERE kind = 'authn_login_success'"));
        assert_eq!(detail.replace(' ', ""), "{\"factor\":\"totp\"}");
        assert_eq!(server.metric("signet_second_factors_total{outcome=\"totp\"}"), 1.0);
    }

    fn a_recovery_code_works_once_and_is_no_otp(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let code = phone.recovery_codes[7].to_uppercase().replace('-', " ");
        let session = second_step(&server.client(), &first_step(&server.client(), "ada@example.com"), &code).expect(200);
        assert_eq!(token::decode(&session.access_token()).1["amr"], json!(["pwd", "mfa"]));
        let challenge = first_step(&server.client(), "ada@example.com");
        second_step(&server.client(), &challenge, &code).expect_problem(401, "invalid_mfa_code");
        second_step(&server.client(), &challenge, &phone.recovery_codes[8]).expect(200);
        assert_eq!(bearer(&server, &session).get("/v1/auth/mfa").json()["recovery_codes_left"], 8);
        assert_eq!(server.audited("authn_recovery_code_used"), 2);
        assert_eq!(server.metric("signet_second_factors_total{outcome=\"recovery_code\"}"), 2.0);
    }

    fn the_wishes_of_the_first_step_are_those_of_the_session(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let wishes = json!({"email": "ada@example.com", "password": PASSWORD, "label": "Ada's laptop", "remember_device": true});
        let first = server.client().post("/v1/auth/login", &wishes).expect_problem(401, "mfa_required");
        let answer = second_step(&server.client(), &first.text_at("/mfa_token"), &phone.next_code(&server)).expect(200);
        assert!(answer.text_at("/device_token").starts_with("sgd_"));
        let listed = bearer(&server, &session).get("/v1/auth/sessions").expect(200).json();
        assert_eq!(listed["sessions"][0]["label"], "Ada's laptop");
        // The device is shown again, and known again.
        let device = answer.text_at("/device_token");
        let first = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD, "device_token": device, "remember_device": true}));
        let mut second = body(&first.text_at("/mfa_token"), &phone.next_code(&server));
        second["device_token"] = json!(device);
        assert_eq!(server.client().post("/v1/auth/login/mfa", &second).expect(200).text_at("/device_token"), device);
    }

    fn in_browser_mode_tokens_stay_in_cookies(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let wishes = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
        let first = server.client().post("/v1/auth/login", &wishes).expect_problem(401, "mfa_required");
        assert_eq!(first.header("set-cookie"), "");
        let answer = second_step(&server.client(), &first.text_at("/mfa_token"), &phone.next_code(&server)).expect(200);
        assert!(answer.json().get("refresh_token").is_none() && answer.json().get("device_token").is_none());
        let cookies: Vec<&str> = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
        assert!(cookies.iter().any(|cookie| cookie.starts_with("signet_refresh=sgr_")), "{cookies:?}");
        assert!(cookies.iter().any(|cookie| cookie.starts_with("signet_device=sgd_")), "{cookies:?}");
    }

    fn a_code_of_a_clock_that_is_a_step_off_is_good_and_of_two_is_not(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        server.clock.advance(10 * STEP);
        for (away, status) in [(-2, 401), (2, 401), (-1, 200), (0, 200), (1, 200)] {
            let challenge = first_step(&server.client(), "ada@example.com");
            let answer = second_step(&server.client(), &challenge, &phone.code_of_step(&server, away));
            assert_eq!(answer.status, status, "{away}: {}", answer.text);
        }
    }

    fn a_step_is_never_good_twice_nor_is_one_before_it(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        // The one that confirmed is used.
        let challenge = first_step(&server.client(), "ada@example.com");
        second_step(&server.client(), &challenge, &phone.code(&server)).expect_problem(401, "invalid_mfa_code");
        server.clock.advance(10 * STEP);
        let challenge = first_step(&server.client(), "ada@example.com");
        let (before, code, after) = (phone.code_of_step(&server, -1), phone.code(&server), phone.code_of_step(&server, 1));
        second_step(&server.client(), &challenge, &code).expect(200);
        let challenge = first_step(&server.client(), "ada@example.com");
        for used in [&code, &before] {
            second_step(&server.client(), &challenge, used).expect_problem(401, "invalid_mfa_code");
        }
        second_step(&server.client(), &challenge, &after).expect(200);
        assert_eq!(server.metric("signet_second_factors_total{outcome=\"used_code\"}"), 3.0);
    }

    fn of_many_with_one_code_one_gets_in(backend) {
        let server = Server::start_with(backend, |config| { phone::switch_on(config); config.throttle.enabled = false; });
        let (_, phone) = with_phone(&server);
        for round in 0..4 {
            let code = if round % 2 == 0 { phone.next_code(&server) } else { phone.recovery_codes[round].clone() };
            // A challenge of its own for each, and in the later rounds one for all.
            let shared = first_step(&server.client(), "ada@example.com");
            let challenges: Vec<String> = (0..32).map(|_| if round < 2 { first_step(&server.client(), "ada@example.com") } else { shared.clone() }).collect();
            let before = server.count("sessions");
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let threads: Vec<_> = challenges.iter().map(|challenge| scope.spawn(|| second_step(&server.client(), challenge, &code))).collect();
                threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
            });
            assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "round {round}: {answers:?}");
            assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status)), "{answers:?}");
            assert_eq!(server.count("sessions"), before + 1);
        }
    }

    fn a_challenge_is_used_up_by_the_right_code(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        second_step(&server.client(), &challenge, &phone.next_code(&server)).expect(200);
        second_step(&server.client(), &challenge, &phone.next_code(&server)).expect_problem(401, "invalid_mfa_code");
    }

    fn a_challenge_lives_for_five_minutes(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let late = first_step(&server.client(), "ada@example.com");
        server.clock.advance(Duration::from_secs(299));
        second_step(&server.client(), &challenge, &phone.code(&server)).expect(200);
        server.clock.advance(Duration::from_secs(1));
        second_step(&server.client(), &late, &phone.next_code(&server)).expect_problem(401, "invalid_mfa_code");
    }

    fn the_fifth_wrong_code_ends_a_challenge(backend) {
        let server = Server::start_with(backend, |config| { phone::switch_on(config); config.throttle.enabled = false; });
        let (_, phone) = with_phone(&server);
        let (challenge, other) = (first_step(&server.client(), "ada@example.com"), first_step(&server.client(), "ada@example.com"));
        for _ in 0..5 {
            second_step(&server.client(), &challenge, &phone.wrong_code(&server)).expect_problem(401, "invalid_mfa_code");
        }
        let code = phone.next_code(&server);
        second_step(&server.client(), &challenge, &code).expect_problem(401, "invalid_mfa_code");
        second_step(&server.client(), &other, &code).expect(200);
    }

    fn every_failure_is_answered_alike(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let used = first_step(&server.client(), "ada@example.com");
        let code = phone.next_code(&server);
        second_step(&server.client(), &used, &code).expect(200);
        let unknown = format!("sgm_{}", "A".repeat(48));
        let client = server.client().with("x-request-id", "same");
        let visible = |token: &str, code: &str| {
            let answer = second_step(&client, token, code).expect_problem(401, "invalid_mfa_code");
            let mut headers: Vec<String> = answer.headers.iter().filter(|(name, _)| *name != "date").map(|header| format!("{header:?}")).collect();
            headers.sort();
            (headers, answer.text)
        };
        let wrong = visible(&challenge, &phone.wrong_code(&server));
        for (token, code) in [(challenge.as_str(), code.as_str()), (&challenge, ""), (&challenge, "abcd-efgh-ijkl-mnop"), (&used, &code), (&unknown, &code), ("", &code), ("junk", ""), (&challenge[1..], &code)] {
            assert_eq!(visible(token, code), wrong, "{token} {code}");
        }
    }

    fn a_log_in_of_two_steps_costs_what_one_of_one_step_costs(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        server.client().register("eve@example.com");
        let cost = |work: &dyn Fn()| {
            let measure = || (server.metric("signet_database_wait_seconds_count"), server.metric("signet_hash_duration_seconds_count"));
            let before = measure();
            work();
            let after = measure();
            (after.0 - before.0, after.1 - before.1)
        };
        let plain = cost(&|| drop(server.client().login("eve@example.com")));
        assert_eq!(plain, (2.0, 1.0), "one look, one transaction, one hash");
        assert_eq!(cost(&|| drop(first_step(&server.client(), "ada@example.com"))), plain);
        let challenge = first_step(&server.client(), "ada@example.com");
        let wrong = cost(&|| drop(second_step(&server.client(), &challenge, &phone.wrong_code(&server)).expect(401)));
        let right = cost(&|| drop(second_step(&server.client(), &challenge, &phone.next_code(&server)).expect(200)));
        assert_eq!((wrong, right), ((2.0, 0.0), (2.0, 0.0)));
    }

    fn an_outdated_hash_is_renewed_and_the_challenge_holds(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let stronger = Server::start_beside(&server, server.clock.clone(), |config| config.hashing.iterations = 2);
        let hash = || server.query_text("SELECT password_hash AS value FROM users");
        let before = hash();
        log_in(&stronger, &stronger.client(), "ada@example.com", &phone);
        assert_ne!(hash(), before);
        log_in(&server, &server.client(), "ada@example.com", &phone);
    }
}

fn me_last_login(server: &Server) -> i64 {
    let column = "count(last_login_at)";
    let distinct = server.query_number(&format!("SELECT {column} AS value FROM users"));
    let latest = "SELECT count(*) AS value FROM users WHERE last_login_at = created_at";
    distinct * 10 + server.query_number(latest)
}
