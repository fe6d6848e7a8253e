//! Guesses at a second factor, by somebody who has the password already.

use super::*;
use crate::support::phone::{self, Phone, first_step, log_in, second_step};
use crate::support::program::Place;
use crate::support::{on_both, say};

/// Ada at 192.0.2.1, with an app.
fn with_factor(backend: Backend) -> (Server, Phone) {
    let server = behind_a_proxy_with(backend, phone::switch_on);
    let session = from(&server, "192.0.2.1").register("ada@example.com");
    let phone = Phone::add(&server, &from(&server, "192.0.2.1").bearer(&session.access_token()));
    (server, phone)
}

/// Guesses until the limit is met, with as many challenges as it takes: how many were judged, and the refusal.
#[track_caller]
fn guess_codes(server: &Server, client: &Client, phone: &Phone) -> (u32, Answer) {
    let mut challenge = first_step(client, "ada@example.com");
    for judged in 0..1_000 {
        if judged % 5 == 4 {
            challenge = first_step(client, "ada@example.com");
        }
        let answer = second_step(client, &challenge, &phone.wrong_code(server));
        if answer.status == 429 {
            return (judged, answer);
        }
        answer.expect_problem(401, "invalid_mfa_code");
    }
    panic!("never refused");
}

on_both! {
    /// The owner logs in meanwhile, from where they are known. With three codes good at a time, each guess is right with three
    /// in a million.
    fn who_has_the_password_guesses_no_more_codes_than_documented(backend) {
        // A month has hundreds of log-ins, which a busy machine is slow at.
        let days: usize = if std::env::var("SIGNET_TEST_ABUSE").is_ok_and(|wish| wish == "long") { 30 } else { 4 };
        let (server, phone) = with_factor(backend);
        let begin = server.clock.now();
        let mut per_day = vec![0_u32; days];
        let mut logged_in = 0;
        let mut number = 0;
        loop {
            let day = (server.clock.now().since(begin).as_secs() / (24 * 3600)) as usize;
            if day >= days { break; }
            number += 1;
            let thief = from(&server, &format!("198.51.{}.{}", number % 250, number / 250 % 250));
            let challenge = first_step(&thief, "ada@example.com");
            let answer = second_step(&thief, &challenge, &phone.wrong_code(&server));
            if answer.status == 429 {
                let wait: u64 = answer.header("retry-after").parse().expect("seconds");
                server.clock.advance(Duration::from_secs(wait));
            } else {
                answer.expect_problem(401, "invalid_mfa_code");
                per_day[day] += 1;
            }
            if number % 20 == 0 {
                log_in(&server, &from(&server, "192.0.2.1"), "ada@example.com", &phone);
                logged_in += 1;
            }
        }
        let total: u32 = per_day.iter().sum();
        say(&format!("{backend:?}: guesses at a second factor in {days} days: {total}, by day {per_day:?}; the owner logged in {logged_in} times of {logged_in}"));
        assert!(per_day[0] <= 33 && per_day.iter().all(|guesses| *guesses <= 33), "{per_day:?}");
        assert!(total <= 100 + days as u32 * 4, "{total}");
        assert!(logged_in > 5);
    }

    fn five_are_free_and_new_challenges_give_no_more(backend) {
        let (server, phone) = with_factor(backend);
        let thief = from(&server, "198.51.100.1");
        let (judged, refused) = guess_codes(&server, &thief, &phone);
        assert_eq!(judged, 5);
        assert_eq!(refused.header("retry-after"), "60");
        assert_eq!(refused.header("ratelimit-policy"), "\"guesses\";q=33;w=86400");
        // From everywhere, and with the right code, too.
        let elsewhere = from(&server, "203.0.113.1");
        let challenge = first_step(&elsewhere, "ada@example.com");
        second_step(&elsewhere, &challenge, &phone.code_of_step(&server, 1)).expect_problem(429, "too_many_requests");
        assert_eq!(throttled(&server, "factor"), 2.0);
        assert_eq!(server.metric("signet_second_factors_total{outcome=\"too_many_requests\"}"), 2.0);
        // A code that was refused unseen is not used up.
        server.clock.advance(MINUTE);
        let challenge = first_step(&elsewhere, "ada@example.com");
        second_step(&elsewhere, &challenge, &phone.recovery_codes[0]).expect(200);
    }

    fn the_owner_gets_in_from_where_they_are_known(backend) {
        let (server, phone) = with_factor(backend);
        guess_codes(&server, &from(&server, "198.51.100.1"), &phone);
        log_in(&server, &from(&server, "192.0.2.1"), "ada@example.com", &phone);
        // And has five of their own.
        let (judged, _) = guess_codes(&server, &from(&server, "192.0.2.1"), &phone);
        assert_eq!((judged, throttled(&server, "factor_of_known_source")), (5, 1.0));
    }

    fn a_right_password_is_neither_right_nor_wrong_until_the_code_is(backend) {
        let (server, phone) = with_factor(backend);
        let stranger = from(&server, "198.51.100.1");
        let wrong = || login(&stranger, "ada@example.com", "not the password").status;
        assert_eq!([wrong(), wrong(), wrong()], [401; 3]);
        for _ in 0..10 {
            first_step(&stranger, "ada@example.com");
        }
        // Nothing was forgotten by it, and nothing counted.
        assert_eq!([wrong(), wrong(), wrong()], [401, 401, 429]);
        server.clock.advance(24 * 4 * HOUR);
        assert_eq!([wrong(), wrong(), wrong()], [401; 3]);
        log_in(&server, &stranger, "ada@example.com", &phone);
        // All was right: what this source had got wrong is forgotten, and it is known from now on.
        assert_eq!(guess_until_refused(&from(&server, "203.0.113.9"), "ada@example.com").0, 5);
    }

    fn a_right_code_takes_back_no_strangers_guesses(backend) {
        let (server, phone) = with_factor(backend);
        let thief = from(&server, "198.51.100.1");
        let challenge = first_step(&thief, "ada@example.com");
        for _ in 0..3 {
            second_step(&thief, &challenge, &phone.wrong_code(&server)).expect(401);
        }
        log_in(&server, &from(&server, "192.0.2.1"), "ada@example.com", &phone);
        assert_eq!(guess_codes(&server, &thief, &phone).0, 2);
    }

    fn a_new_password_by_mail_gives_no_new_guesses(backend) {
        let server = behind_a_proxy_with(backend, |config| { phone::switch_on(config); crate::support::mailbox::into_folder(config); });
        let session = from(&server, "192.0.2.1").register("ada@example.com");
        let phone = Phone::add(&server, &from(&server, "192.0.2.1").bearer(&session.access_token()));
        let thief = from(&server, "198.51.100.1");
        guess_codes(&server, &thief, &phone);
        thief.post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        let token = crate::support::mailbox::Mailbox::of(&server).newest_of("ada@example.com", "reset_password").token();
        thief.post("/v1/auth/reset-password", &json!({"token": token, "new_password": PASSWORD})).expect(204);
        let challenge = first_step(&thief, "ada@example.com");
        second_step(&thief, &challenge, &phone.wrong_code(&server)).expect_problem(429, "too_many_requests");
    }

    fn another_address_of_the_account_gives_no_new_guesses(backend) {
        let (server, phone) = with_factor(backend);
        let thief = from(&server, "198.51.100.1");
        guess_codes(&server, &thief, &phone);
        let place = Place::on(&server.config.database.url.0);
        assert!(place.run(&["users", "set-email", "ada@example.com", "countess@example.org"]).status.success());
        let challenge = first_step(&thief, "countess@example.org");
        second_step(&thief, &challenge, &phone.wrong_code(&server)).expect_problem(429, "too_many_requests");
    }

    fn of_sixty_four_guesses_at_once_five_are_told(backend) {
        let (server, phone) = with_factor(backend);
        let thief = from(&server, "198.51.100.1");
        let challenges: Vec<String> = (0..64).map(|_| first_step(&thief, "ada@example.com")).collect();
        let wrong = phone.wrong_code(&server);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                challenges.iter().map(|challenge| scope.spawn(|| second_step(&thief, challenge, &wrong).status)).collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    }

    fn wrong_codes_in_a_session_count_with_those_of_log_ins(backend) {
        let (server, phone) = with_factor(backend);
        let session = log_in(&server, &from(&server, "192.0.2.1"), "ada@example.com", &phone);
        let thief = from(&server, "198.51.100.1").bearer(&session.access_token());
        let remove = |password: &str, code: &str| {
            thief.post("/v1/auth/mfa/totp/remove", &json!({"password": password, "code": code})).status
        };
        let wrong = phone.wrong_code(&server);
        let statuses: Vec<u16> = (0..6).map(|_| remove(PASSWORD, &wrong)).collect();
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
        let stranger = from(&server, "203.0.113.1");
        let challenge = first_step(&stranger, "ada@example.com");
        second_step(&stranger, &challenge, &wrong).expect(429);
    }

    fn wrong_codes_at_enrolment_are_limited_in_their_session(backend) {
        let server = behind_a_proxy_with(backend, phone::switch_on);
        let client = from(&server, "192.0.2.1");
        let me = client.bearer(&client.register("ada@example.com").access_token());
        let phone = Phone::scan(&me.post_empty("/v1/auth/mfa/totp").expect(200));
        let confirm = |code: &str| me.post("/v1/auth/mfa/totp/confirm", &json!({"code": code})).status;
        let wrong = phone.wrong_code(&server);
        assert_eq!([0; 6].map(|_| confirm(&wrong)), [401, 401, 401, 401, 401, 429]);
        assert_eq!(confirm(&phone.code(&server)), 429);
        server.clock.advance(MINUTE);
        assert_eq!(confirm(&phone.code(&server)), 200);
    }
}
