//! A pending factor and every way around it; challenges and every other token.

use std::sync::Barrier;

use super::*;
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{first_step, log_in, second_step};
use crate::support::program::Place;
use crate::support::{PASSWORD, json, on_both};

const OTHER_PASSWORD: &str = "a wholly other phrase";

fn with_mail(backend: Backend) -> Server {
    Server::start_with(backend, |config| {
        phone::switch_on(config);
        mailbox::into_folder(config);
        config.oauth.password_grant = true;
    })
}

#[track_caller]
fn is_refused(answer: Answer) {
    answer.expect_problem(401, "invalid_mfa_code");
}

on_both! {
    fn a_challenge_is_its_own_users_only(backend) {
        let server = start(backend);
        let (_, ada) = with_phone(&server);
        let eve = Phone::add(&server, &bearer(&server, &server.client().register("eve@example.com")));
        let (for_ada, for_eve) = (first_step(&server.client(), "ada@example.com"), first_step(&server.client(), "eve@example.com"));
        let (ada_code, eve_code) = (ada.next_code(&server), eve.code(&server));
        is_refused(second_step(&server.client(), &for_ada, &eve_code));
        is_refused(second_step(&server.client(), &for_eve, &ada_code));
        is_refused(second_step(&server.client(), &for_ada, &eve.recovery_codes[0]));
        // Nothing was used up by it.
        let session = second_step(&server.client(), &for_ada, &ada_code).expect(200);
        assert_eq!(session.text_at("/user/email"), "ada@example.com");
        second_step(&server.client(), &for_eve, &eve.recovery_codes[0]).expect(200);
    }

    fn a_secret_that_is_moved_to_another_user_opens_nothing(backend) {
        let server = start(backend);
        let (_, ada) = with_phone(&server);
        Phone::add(&server, &bearer(&server, &server.client().register("eve@example.com")));
        // Whoever can write to the database puts a secret they know into the row of somebody else.
        let source = "(SELECT f.sealed FROM totp_factors f JOIN users u ON u.id = f.user_id WHERE u.email = 'ada@example.com')";
        let target = "(SELECT id FROM users WHERE email = 'eve@example.com')";
        assert_eq!(server.execute(&format!("UPDATE totp_factors SET sealed = {source} WHERE user_id = {target}")), 1);
        let challenge = first_step(&server.client(), "eve@example.com");
        second_step(&server.client(), &challenge, &ada.next_code(&server)).expect_problem(503, "unavailable");
    }

    fn a_challenge_is_good_for_nothing_else(backend) {
        let server = with_mail(backend);
        let (session, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let client = server.client();
        for prefix in ["sgm_", "sgr_", "sgv_", "sgp_", "sgo_", "sgn_", "sgi_", "sgd_"] {
            let crossed = format!("{prefix}{}", &challenge[4..]);
            client.bearer(&crossed).get("/v1/auth/me").expect_problem(401, "invalid_token");
            client.bearer(&crossed).post_empty("/v1/auth/mfa/totp").expect_problem(401, "invalid_token");
            client.refresh(&crossed).expect_problem(401, "invalid_grant");
            client.post("/v1/auth/logout", &json!({"refresh_token": crossed})).expect_problem(401, "invalid_grant");
            for path in ["/v1/auth/verify-email", "/v1/auth/change-email/confirm"] {
                client.post(path, &json!({"token": crossed})).expect_problem(400, "invalid_one_time_token");
            }
            let reset = json!({"token": crossed, "new_password": OTHER_PASSWORD});
            client.post("/v1/auth/reset-password", &reset).expect_problem(400, "invalid_one_time_token");
            client.form("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", &crossed)]).expect_oauth(400, "invalid_grant");
        }
        // And it has come to no harm.
        second_step(&client, &challenge, &phone.next_code(&server)).expect(200);
        server.client().refresh(&session.refresh_token()).expect(200);
    }

    fn nothing_else_is_good_as_a_challenge(backend) {
        let server = with_mail(backend);
        let session = server.client().register("ada@example.com");
        let verify = Mailbox::of(&server).newest("ada@example.com", "verify_email").token();
        let phone = Phone::add(&server, &bearer(&server, &session));
        let code = phone.next_code(&server);
        for other in [session.refresh_token(), session.access_token(), verify.clone()] {
            is_refused(second_step(&server.client(), &other, &code));
            if other.len() > 40 {
                is_refused(second_step(&server.client(), &format!("sgm_{}", &other[4..]), &code));
            }
        }
        // Neither the code nor the tokens were used up.
        server.client().post("/v1/auth/verify-email", &json!({"token": verify})).expect(204);
        server.client().refresh(&session.refresh_token()).expect(200);
        second_step(&server.client(), &first_step(&server.client(), "ada@example.com"), &code).expect(200);
    }

    fn the_password_grant_has_no_second_step(backend) {
        let server = with_mail(backend);
        with_phone(&server);
        let sessions = server.count("sessions");
        let grant = |password: &str| {
            server.client().form("/oauth2/token", &[("grant_type", "password"), ("username", "ada@example.com"), ("password", password)])
        };
        let refused = grant(PASSWORD).expect_oauth(400, "invalid_grant");
        assert!(refused.text_at("/error_description").starts_with("mfa_required: "), "{}", refused.text);
        assert!(refused.json().get("mfa_token").is_none());
        let wrong = grant("not the password").expect_oauth(400, "invalid_grant");
        assert!(!wrong.text_at("/error_description").contains("mfa"), "{}", wrong.text);
        assert_eq!([server.count("sessions"), server.count("mfa_challenges")], [sessions, 0]);
    }

    fn a_new_password_by_mail_leaves_the_factor_and_voids_challenges(backend) {
        let server = with_mail(backend);
        let (session, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        server.client().post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        let token = Mailbox::of(&server).newest_of("ada@example.com", "reset_password").token();
        let reset = server.client().post("/v1/auth/reset-password", &json!({"token": token, "new_password": OTHER_PASSWORD}));
        assert_eq!(reset.expect(204).text, "");
        let code = phone.next_code(&server);
        is_refused(second_step(&server.client(), &challenge, &code));
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        let login = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": OTHER_PASSWORD}));
        let challenge = login.expect_problem(401, "mfa_required").text_at("/mfa_token");
        second_step(&server.client(), &challenge, &code).expect(200);
    }

    fn a_changed_password_voids_challenges(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let change = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
        bearer(&server, &session).post("/v1/auth/change-password", &change).expect(204);
        is_refused(second_step(&server.client(), &challenge, &phone.next_code(&server)));
        // Not even if the old one comes back: its hash does not.
        let back = json!({"current_password": OTHER_PASSWORD, "new_password": PASSWORD});
        bearer(&server, &session).post("/v1/auth/change-password", &back).expect(204);
        is_refused(second_step(&server.client(), &challenge, &phone.code(&server)));
    }

    fn a_disabled_user_completes_nothing(backend) {
        let server = start(backend);
        let (_, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let place = Place::on(&server.config.database.url.0);
        assert!(place.run(&["users", "disable", "ada@example.com"]).status.success());
        is_refused(second_step(&server.client(), &challenge, &phone.next_code(&server)));
        is_refused(second_step(&server.client(), &challenge, &phone.recovery_codes[0]));
        // And learns no more than with a wrong password.
        let login = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
        login.expect_problem(401, "invalid_credentials");
        assert_eq!(bearer(&server, &server.client().register("eve@example.com")).get("/v1/auth/mfa").json()["recovery_codes_left"], 0);
    }

    fn an_unverified_user_gets_no_challenge_where_verification_is_demanded(backend) {
        let server = with_mail(backend);
        let (_, phone) = with_phone(&server);
        let verified = Server::start_beside(&server, server.clock.clone(), |config| config.registration = signet::config::Registration::Verified);
        let login = verified.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
        login.expect_problem(401, "invalid_credentials");
        let token = Mailbox::of(&server).newest_of("ada@example.com", "verify_email").token();
        assert_eq!(verified.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204).text, "");
        log_in(&verified, &verified.client(), "ada@example.com", &phone);
    }

    fn no_log_in_slips_by_a_factor_that_is_being_added(backend) {
        for round in 0..5 {
            let server = Server::start_with(backend, |config| { phone::switch_on(config); config.throttle.enabled = false; });
            let session = server.client().register("ada@example.com");
            let me = bearer(&server, &session);
            let phone = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
            let (code, begin) = (json!({"code": phone.code(&server)}), Barrier::new(9));
            let (confirmed, opened) = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            begin.wait();
                            let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
                            let answers: Vec<Answer> = (0..6).map(|_| server.client().post("/v1/auth/login", &credentials)).collect();
                            answers.into_iter().filter(|answer| answer.status == 200).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                begin.wait();
                std::thread::sleep(std::time::Duration::from_millis(3 * round));
                let confirmed = me.post("/v1/auth/mfa/totp/confirm", &code);
                (confirmed, threads.into_iter().flat_map(|thread| thread.join().expect("answered")).collect::<Vec<_>>())
            });
            confirmed.expect(200);
            for answer in &opened {
                server.client().refresh(&answer.refresh_token()).expect_problem(401, "invalid_grant");
            }
            assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 1, "round {round}, of {}", opened.len());
            first_step(&server.client(), "ada@example.com");
        }
    }

    fn what_cannot_be_audited_is_not_done(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let me = bearer(&server, &session);
        let eve = bearer(&server, &server.client().register("eve@example.com"));
        let waiting = Phone::scan(&eve.post_empty("/v1/auth/mfa/totp").expect(200));
        let challenge = first_step(&server.client(), "ada@example.com");
        let state = || ["sessions", "mfa_challenges", "recovery_codes", "totp_factors WHERE confirmed_at IS NOT NULL", "users WHERE has_second_factor", "sessions WHERE revoked_at IS NULL"].map(|what| server.count(what));
        let before = state();
        server.execute("ALTER TABLE audit_events RENAME TO gone");
        let code = phone.next_code(&server);
        let both = json!({"password": PASSWORD, "code": phone.recovery_codes[1]});
        for answer in [
            server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})),
            second_step(&server.client(), &challenge, &code),
            second_step(&server.client(), &challenge, &phone.recovery_codes[0]),
            second_step(&server.client(), &challenge, &phone.wrong_code(&server)),
            eve.post("/v1/auth/mfa/totp/confirm", &json!({"code": waiting.code(&server)})),
            eve.post_empty("/v1/auth/mfa/totp"),
            me.post("/v1/auth/mfa/totp/remove", &both),
            me.post("/v1/auth/mfa/recovery-codes", &both),
        ] {
            answer.expect_problem(503, "unavailable");
        }
        assert!(!Place::on(&server.config.database.url.0).run(&["users", "reset-mfa", "ada@example.com"]).status.success());
        server.execute("ALTER TABLE gone RENAME TO audit_events");
        assert_eq!(state(), before);
        second_step(&server.client(), &challenge, &code).expect(200);
    }

    fn an_operator_takes_a_lost_factor_away(backend) {
        let server = with_mail(backend);
        let (session, phone) = with_phone(&server);
        let challenge = first_step(&server.client(), "ada@example.com");
        let place = Place::on(&server.config.database.url.0);
        let reset = |email: &str| {
            let output = place.run(&["users", "reset-mfa", email]);
            (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
        };
        let (is_done, said) = reset("ada@example.com");
        assert!(is_done && said.contains("second factor removed, sessions ended"), "{said}");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        is_refused(second_step(&server.client(), &challenge, &phone.next_code(&server)));
        is_refused(second_step(&server.client(), &challenge, &phone.recovery_codes[0]));
        server.client().login("ada@example.com");
        assert_eq!(["totp_factors", "recovery_codes", "mfa_challenges"].map(|table| server.count(table)), [0; 3]);
        assert_eq!(server.count("audit_events WHERE kind = 'user_factor_removed' AND actor IS NULL"), 1);
        // Without one nothing is ended.
        let (is_done, said) = reset("ada@example.com");
        assert!(is_done && said.contains("has no second factor"), "{said}");
        assert_eq!(server.audited("user_factor_removed"), 1);
        let (is_done, said) = reset("nobody@example.com");
        assert!(!is_done && said.contains("there is no such user: `signet users list` shows who there is"), "{said}");
    }
}
