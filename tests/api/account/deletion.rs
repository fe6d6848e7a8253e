//! `DELETE /v1/auth/me`, `POST /v1/auth/restore`, and what is left of an account that is gone.

use std::time::Duration;

use signet::cleanup::Table;
use signet::config::Period;

use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{self, Phone};
use crate::support::program::Place;
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, personal, token};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn start(backend: Backend) -> (Server, Answer) {
    let server = Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        phone::switch_on(config);
    });
    let session = server.client().register("ada@example.com");
    (server, session)
}

fn delete(server: &Server, session: &Answer, password: &str) -> Answer {
    server.client().bearer(&session.access_token()).delete_with("/v1/auth/me", &json!({"password": password}))
}

fn log_in(server: &Server, email: &str) -> Answer {
    server.client().post("/v1/auth/login", &json!({"email": email, "password": PASSWORD}))
}

fn restore(server: &Server, token: &str) -> Answer {
    server.client().post("/v1/auth/restore", &json!({"token": token}))
}

fn subject(session: &Answer) -> String {
    token::decode(&session.access_token()).1["sub"].as_str().expect("a subject").to_owned()
}

/// How many accounts a pass of `signet cleanup` takes.
fn sweep(server: &Server) -> usize {
    server.sweep().of(Table::Users)
}

on_both! {
    fn a_deleted_account_lets_nobody_in_and_looks_like_any_that_is_not_there(backend) {
        let (server, session) = start(backend);
        let other = server.client().login("ada@example.com");
        let answer = delete(&server, &session, PASSWORD).expect(204);
        assert_eq!(answer.text, "");
        for session in [&session, &other] {
            server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
            server.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        let refused = log_in(&server, "ada@example.com").expect_problem(401, "invalid_credentials");
        let nobody = log_in(&server, "nobody@example.com").expect_problem(401, "invalid_credentials");
        assert_eq!(refused.json()["detail"], nobody.json()["detail"]);
        delete(&server, &session, PASSWORD).expect_problem(401, "invalid_token");
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        server.client().post("/v1/auth/register", &body).expect_problem(409, "email_taken");
        server.client().post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect(202);
        let mails = Mailbox::of(&server).mails();
        assert!(!mails.iter().any(|mail| mail.template == "reset_password"), "{mails:?}");
        assert_eq!(server.count("known_sources"), 0);
        assert_eq!(server.audited("user_deleted"), 1);
        assert_eq!(server.count("sessions WHERE revoked_reason = 'user_deleted'"), 2);
    }

    fn a_wrong_password_deletes_nothing_and_is_counted(backend) {
        let (server, session) = start(backend);
        let statuses: Vec<u16> = (0..8).map(|_| delete(&server, &session, "not the password").status).collect();
        assert_eq!((statuses[0], statuses.last()), (401, Some(&429)), "{statuses:?}");
        let without = server.client().bearer(&session.access_token()).delete_with("/v1/auth/me", &json!({}));
        assert_eq!(without.expect(422).field_errors(), [("password".to_owned(), "missing".to_owned())]);
        server.client().refresh(&session.refresh_token()).expect(200);
        assert!(server.audited("user_delete_fail") > 0);
        assert_eq!((server.audited("user_deleted"), server.count("users WHERE is_active")), (0, 1));
    }

    fn the_token_in_the_notice_brings_it_back_once_without_its_sessions(backend) {
        let (server, session) = start(backend);
        server.client().bearer(&session.access_token()).patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        delete(&server, &session, PASSWORD).expect(204);
        let notice = Mailbox::of(&server).newest("ada@example.com", "account_deleted");
        assert!(notice.text.contains("30 days"), "{}", notice.text);
        let token = notice.token();
        server.clock.advance(30 * DAY - Duration::from_secs(1));
        server.client().post("/v1/auth/reset-password", &json!({"token": token, "new_password": PASSWORD})).expect_problem(400, "invalid_one_time_token");
        restore(&server, &token).expect(204);
        restore(&server, &token).expect_problem(400, "invalid_one_time_token");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        let again = log_in(&server, "ada@example.com").expect(200);
        assert_eq!((subject(&again), again.json()["user"]["name"].clone()), (subject(&session), json!("Ada")));
        assert_eq!(server.audited("user_restored"), 1);
        server.clock.advance(2 * DAY);
        assert_eq!((sweep(&server), server.count("users")), (0, 1));
    }

    fn after_the_grace_period_nothing_brings_it_back_and_everything_goes_but_the_trail(backend) {
        let (server, session) = start(backend);
        let user = subject(&session);
        let known = json!({"email": "ada@example.com", "password": PASSWORD, "remember_device": true});
        server.client().post("/v1/auth/login", &known).expect(200);
        let me = server.client().bearer(&session.access_token());
        me.post("/v1/auth/change-email", &json!({"new_email": "new@example.com", "password": PASSWORD})).expect(202);
        me.post("/v1/auth/api-keys", &json!({"name": "backup", "scope": "account"})).expect(201);
        Phone::add(&server, &me);
        phone::first_step(&server.client(), "ada@example.com");
        Mailbox::of(&server).mails();
        let columns = personal::columns(&server, backend);
        // A letter is gone as soon as it was sent; one that waits comes below.
        for naming in columns.iter().filter(|naming| naming.table != "outbox") {
            assert!(personal::count(&server, backend, naming, &user) > 0, "{naming:?} has nothing to remove here");
        }
        delete(&server, &session, PASSWORD).expect(204);
        let token = Mailbox::of(&server).newest("ada@example.com", "account_deleted").token();
        server.clock.advance(30 * DAY);
        restore(&server, &token).expect_problem(400, "invalid_one_time_token");
        assert_eq!(sweep(&server), 0, "not before every clock agrees");
        let later = if backend == Backend::Postgres { "created_at + interval '900 days'" } else { "created_at + 77760000000000" };
        let letter = "id, 'password_changed', id, email, created_at";
        server.execute(&format!(
            "INSERT INTO outbox (id, kind, user_id, email, created_at, due_at, attempts, asked_again) SELECT {letter}, {later}, 0, FALSE FROM users"
        ));
        assert_eq!(server.count("outbox"), 1);
        server.clock.advance(2 * DAY);
        assert_eq!((sweep(&server), sweep(&server)), (1, 0));
        for naming in &columns {
            let left = personal::count(&server, backend, naming, &user);
            assert_eq!(left > 0, naming.table == "audit_events", "{naming:?}: {left}");
        }
        assert_eq!(server.count("users"), 0);
        let text = if backend == Backend::Postgres { "CAST(audit_events AS text)" } else { "kind || coalesce(address, '') || coalesce(user_agent, '') || detail" };
        let trail = server.query_texts(&format!("SELECT {text} AS value FROM audit_events")).join("\n");
        assert!(!trail.contains("example.com") && trail.contains("user_purged"), "{trail}");
        // T5: the address is free, and whoever has it now is somebody else.
        let next = server.client().register("ada@example.com");
        assert_ne!(subject(&next), user);
    }

    fn without_a_grace_period_it_is_gone_at_once_and_its_address_is_told(backend) {
        let server = Server::start_with(backend, |config| {
            mailbox::into_folder(config);
            config.account.deletion_grace = Period(Duration::ZERO);
        });
        let session = server.client().register("ada@example.com");
        delete(&server, &session, PASSWORD).expect(204);
        assert_eq!((server.count("users"), server.count("sessions"), server.count("one_time_tokens")), (0, 0, 0));
        let notice = Mailbox::of(&server).newest("ada@example.com", "account_deleted");
        assert!(mailbox::find_token(&notice.text).is_none(), "{}", notice.text);
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        let next = server.client().register("ada@example.com");
        assert_ne!(subject(&next), subject(&session));
    }

    fn of_many_at_once_one_deletes_and_no_session_survives(backend) {
        let (server, session) = start(backend);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..24)
                .map(|number| {
                    let (server, session) = (&server, &session);
                    scope.spawn(move || match number % 3 {
                        0 => delete(server, session, PASSWORD).status,
                        1 => { log_in(server, "ada@example.com"); 0 }
                        _ => { server.client().refresh(&session.refresh_token()); 0 }
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [0, 204, 401].contains(status)), "{statuses:?}");
        assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 0);
        assert_eq!((server.audited("user_deleted"), Mailbox::of(&server).count("ada@example.com")), (1, 2));
    }

    // Z4
    fn of_two_administrators_who_go_at_once_one_stays(backend) {
        let (server, ada) = start(backend);
        let eve = server.client().register("eve@example.com");
        // A role whose name has the other in it, and one who is disabled, administer nothing.
        server.client().register("near@example.com");
        server.client().register("off@example.com");
        server.execute("UPDATE users SET roles = 'admin user'");
        server.execute("UPDATE users SET roles = 'admin-of-none user' WHERE email = 'near@example.com'");
        server.execute("UPDATE users SET is_active = false WHERE email = 'off@example.com'");
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads = [&ada, &eve].map(|session| { let server = &server; scope.spawn(move || delete(server, session, PASSWORD).status) });
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409]);
        assert_eq!(server.count("users WHERE is_active AND roles = 'admin user'"), 1);
        let left = server.query_text("SELECT email AS value FROM users WHERE is_active AND roles = 'admin user'");
        let session = log_in(&server, &left).expect(200);
        delete(&server, &session, PASSWORD).expect_problem(409, "last_admin");
        // An operator makes another; they have the database.
        let place = Place::on(&server.config.database.url.0);
        assert_eq!(place.succeed(&["users", "delete", &left, "--now"]), format!("{left}  deleted for good\n"));
    }

    fn an_operator_deletes_brings_back_and_removes(backend) {
        let (server, session) = start(backend);
        let place = Place::on(&server.config.database.url.0);
        let deleted = place.succeed(&["users", "delete", "ADA@example.com"]);
        assert!(deleted.starts_with("ADA@example.com  deleted; can be brought back until 20"), "{deleted}");
        assert_eq!(place.fail(&["users", "delete", "ada@example.com"]), "the account is deleted already; --now removes everything of it");
        server.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        assert_eq!(
            place.fail(&["users", "enable", "ada@example.com"]),
            "the account is deleted: `signet users restore` brings it back"
        );
        log_in(&server, "ada@example.com").expect_problem(401, "invalid_credentials");
        place.succeed(&["users", "restore", "ada@example.com"]);
        log_in(&server, "ada@example.com").expect(200);
        assert_eq!(place.fail(&["users", "restore", "ada@example.com"]), "there is no such deleted account");
        place.succeed(&["users", "delete", "ada@example.com"]);
        assert_eq!(place.succeed(&["users", "delete", "ada@example.com", "--now"]), "ada@example.com  deleted for good\n");
        assert_eq!(server.count("users"), 0);
        assert_eq!(place.fail(&["users", "delete", "ada@example.com", "--now"]), "there is no such user: `signet users list` shows who there is");
    }

    fn nobody_gets_out_of_being_disabled_by_deleting(backend) {
        let (server, session) = start(backend);
        delete(&server, &session, PASSWORD).expect(204);
        let token = Mailbox::of(&server).newest("ada@example.com", "account_deleted").token();
        let place = Place::on(&server.config.database.url.0);
        place.succeed(&["users", "disable", "ada@example.com"]);
        restore(&server, &token).expect_problem(400, "invalid_one_time_token");
        place.succeed(&["users", "restore", "ada@example.com"]);
        log_in(&server, "ada@example.com").expect_problem(401, "invalid_credentials");
        place.succeed(&["users", "enable", "ada@example.com"]);
        log_in(&server, "ada@example.com").expect(200);
    }
}
