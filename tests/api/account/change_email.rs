//! `POST /v1/auth/change-email` and `…/confirm`.

use std::time::Duration;

use crate::support::mailbox::{self, Mailbox};
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, token};

fn start(backend: Backend) -> (Server, Answer) {
    let server = Server::start_with(backend, mailbox::into_folder);
    let session = server.client().register("ada@example.com");
    let token = Mailbox::of(&server).newest("ada@example.com", "verify_email").token();
    server.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
    (server, session)
}

fn change(server: &Server, session: &Answer, new_email: &str) -> Answer {
    let body = json!({"new_email": new_email, "password": PASSWORD});
    server.client().bearer(&session.access_token()).post("/v1/auth/change-email", &body)
}

fn confirm(server: &Server, token: &str) -> Answer {
    server.client().post("/v1/auth/change-email/confirm", &json!({"token": token}))
}

fn email(server: &Server, session: &Answer) -> String {
    server.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200).text_at("/email")
}

on_both! {
    fn the_address_is_changed_once_both_have_agreed_and_the_subject_stays(backend) {
        let (server, session) = start(backend);
        let answer = change(&server, &session, "Countess@Example.org").expect(202);
        assert_eq!(answer.text, "");
        let mailbox = Mailbox::of(&server);
        let old = mailbox.newest("ada@example.com", "confirm_old_address");
        let new = mailbox.newest("Countess@Example.org", "confirm_new_address");
        assert!(old.text.contains("Countess@Example.org"), "{}", old.text);
        assert_eq!(confirm(&server, &new.token()).expect(200).json(), json!({"changed": false}));
        assert_eq!(email(&server, &session), "ada@example.com");
        confirm(&server, &new.token()).expect_problem(400, "invalid_one_time_token");
        assert_eq!(confirm(&server, &old.token()).expect(200).json(), json!({"changed": true}));
        assert_eq!(email(&server, &session), "Countess@Example.org");
        mailbox.newest("ada@example.com", "email_changed");

        let gone = json!({"email": "ada@example.com", "password": PASSWORD});
        server.client().post("/v1/auth/login", &gone).expect_problem(401, "invalid_credentials");
        let again = server.client().login("countess@example.org");
        assert_eq!(again.json()["user"]["is_verified"], json!(true));
        let subject = |answer: &Answer| token::decode(&answer.access_token()).1["sub"].clone();
        assert_eq!(subject(&again), subject(&session));
        for (kind, times) in [("user_email_change_requested", 1), ("user_email_change_confirmed", 2), ("user_email_changed", 1)] {
            assert_eq!(server.audited(kind), times, "{kind}");
        }
        assert_eq!(server.count("email_changes"), 0);
        // The former address is free again.
        server.client().register("ada@example.com");
    }

    fn both_at_once_make_one_change(backend) {
        let (server, session) = start(backend);
        change(&server, &session, "countess@example.org").expect(202);
        let mailbox = Mailbox::of(&server);
        let old = mailbox.newest("ada@example.com", "confirm_old_address").token();
        let new = mailbox.newest("countess@example.org", "confirm_new_address").token();
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..32)
                .map(|number| { let token = if number % 2 == 0 { &old } else { &new }; let server = &server; scope.spawn(move || confirm(server, token)) })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        let good: Vec<bool> = answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.json()["changed"] == json!(true)).collect();
        assert_eq!(good.len(), 2, "{answers:?}");
        assert_eq!(good.iter().filter(|changed| **changed).count(), 1);
        assert_eq!(email(&server, &session), "countess@example.org");
        assert_eq!(server.audited("user_email_changed"), 1);
    }

    fn a_taken_address_is_not_given_away(backend) {
        let (server, session) = start(backend);
        server.client().register("eve@example.com");
        let free = change(&server, &session, "free@example.com").expect(202);
        let taken = change(&server, &session, "EVE@example.com").expect(202);
        assert_eq!(free.text, taken.text);
        let mailbox = Mailbox::of(&server);
        let notice = mailbox.newest("eve@example.com", "already_registered");
        assert!(mailbox::find_token(&notice.text).is_none(), "{}", notice.text);
        let old = mailbox.newest("ada@example.com", "confirm_old_address").token();
        assert_eq!(confirm(&server, &old).expect(200).json(), json!({"changed": false}));
        assert_eq!(email(&server, &session), "ada@example.com");
    }

    fn an_address_that_is_taken_meanwhile_is_not_changed_to(backend) {
        let (server, session) = start(backend);
        change(&server, &session, "countess@example.org").expect(202);
        let mailbox = Mailbox::of(&server);
        let old = mailbox.newest("ada@example.com", "confirm_old_address").token();
        let new = mailbox.newest("countess@example.org", "confirm_new_address").token();
        confirm(&server, &new).expect(200);
        server.client().register("countess@example.org");
        confirm(&server, &old).expect_problem(400, "invalid_one_time_token");
        assert_eq!(email(&server, &session), "ada@example.com");
        assert_eq!(server.count("users"), 2);
    }

    fn a_wrong_password_changes_nothing_and_mails_nobody(backend) {
        let (server, session) = start(backend);
        let client = server.client().bearer(&session.access_token());
        let body = json!({"new_email": "countess@example.org", "password": "something else entirely"});
        client.post("/v1/auth/change-email", &body).expect_problem(401, "invalid_credentials");
        assert_eq!(Mailbox::of(&server).mails().len(), 1);
        assert_eq!(server.audited("user_email_change_fail"), 1);
        let answer = change(&server, &session, "ADA@example.com").expect_problem(422, "invalid_field");
        assert_eq!(answer.field_errors(), [("new_email".to_owned(), "unchanged".to_owned())]);
        change(&server, &session, "a@x\r\nBcc: b@x").expect_problem(422, "invalid_field");
    }

    fn an_address_that_was_never_verified_has_no_say(backend) {
        let server = Server::start_with(backend, mailbox::into_folder);
        let session = server.client().register("mistyped@example.com");
        change(&server, &session, "right@example.com").expect(202);
        let mailbox = Mailbox::of(&server);
        let new = mailbox.newest("right@example.com", "confirm_new_address");
        assert_eq!(mailbox.count("mistyped@example.com"), 1, "nothing but the mail to verify it");
        assert_eq!(confirm(&server, &new.token()).expect(200).json(), json!({"changed": true}));
        assert_eq!(email(&server, &session), "right@example.com");
        mailbox.newest("mistyped@example.com", "email_changed");
    }

    fn a_later_change_a_new_password_and_time_call_it_off(backend) {
        let (server, session) = start(backend);
        let mailbox = Mailbox::of(&server);
        change(&server, &session, "first@example.org").expect(202);
        let first = mailbox.newest("first@example.org", "confirm_new_address").token();
        change(&server, &session, "second@example.org").expect(202);
        confirm(&server, &first).expect_problem(400, "invalid_one_time_token");
        let second = mailbox.newest("second@example.org", "confirm_new_address").token();
        let body = json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"});
        server.client().bearer(&session.access_token()).post("/v1/auth/change-password", &body).expect(204);
        confirm(&server, &second).expect_problem(400, "invalid_one_time_token");

        let body = json!({"new_email": "third@example.org", "password": "a wholly other phrase"});
        server.client().bearer(&session.access_token()).post("/v1/auth/change-email", &body).expect(202);
        let third = mailbox.newest("third@example.org", "confirm_new_address").token();
        server.clock.advance(Duration::from_secs(30 * 60));
        confirm(&server, &third).expect_problem(400, "invalid_one_time_token");
        assert_eq!(server.audited("user_email_changed"), 0);
    }

    fn tokens_sent_to_the_former_address_are_void_afterwards(backend) {
        let (server, session) = start(backend);
        let mailbox = Mailbox::of(&server);
        change(&server, &session, "countess@example.org").expect(202);
        let old = mailbox.newest("ada@example.com", "confirm_old_address").token();
        server.client().post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        let reset = mailbox.newest("ada@example.com", "reset_password").token();
        confirm(&server, &mailbox.newest("countess@example.org", "confirm_new_address").token()).expect(200);
        confirm(&server, &old).expect(200);
        let body = json!({"token": reset, "new_password": "a wholly other phrase"});
        server.client().post("/v1/auth/reset-password", &body).expect_problem(400, "invalid_one_time_token");
        server.client().login("countess@example.org");
    }
}
