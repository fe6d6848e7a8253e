//! R: refresh tokens and sessions.

use std::time::{Duration, Instant};

use super::{Outage, at_once, execute, impatient};
use crate::support::program::Place;
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, token, wait};

const GRACE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

fn refresh(server: &Server, session: &Answer) -> Answer {
    server.client().refresh(&session.refresh_token())
}

on_both! {
    fn r1_every_use_rotates(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = refresh(&server, &first).expect(200);
        let third = refresh(&server, &second).expect(200);
        assert_ne!(first.refresh_token(), second.refresh_token());
        assert_ne!(second.refresh_token(), third.refresh_token());
    }

    fn r2_an_older_token_ends_the_family(backend) {
        let server = Server::start(backend);
        let first = server.client().register("ada@example.com");
        let second = refresh(&server, &first).expect(200);
        let third = refresh(&server, &second).expect(200);
        refresh(&server, &first).expect_problem(401, "invalid_grant");
        refresh(&server, &third).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_token_reuse"), 1);
    }

    fn r3_the_same_token_again_within_the_grace_window_gives_the_same_successor(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let first = refresh(&server, &session).expect(200);
        server.clock.advance(GRACE - Duration::from_secs(1));
        assert_eq!(refresh(&server, &session).expect(200).refresh_token(), first.refresh_token());
        let form = [("grant_type", "refresh_token"), ("refresh_token", &session.refresh_token())];
        assert_eq!(server.client().form("/oauth2/token", &form).expect(200).refresh_token(), first.refresh_token());
    }

    fn r4_fifty_parallel_refreshes_give_one_successor_at_two_instances(backend) {
        let server = Server::start(backend);
        let other = Server::start_beside(&server, server.clock.clone(), |_| {});
        let session = server.client().register("ada@example.com");
        let successors = at_once(50, |number| {
            refresh(if number % 2 == 0 { &server } else { &other }, &session).expect(200).refresh_token()
        });
        assert!(successors.iter().all(|successor| *successor == successors[0]));
        assert_eq!(server.query_number("SELECT generation AS value FROM sessions"), 1);
    }

    fn r6_a_session_ends_when_idle_for_a_week_and_after_a_month(backend) {
        let server = Server::start(backend);
        let idle = server.client().register("ada@example.com");
        let mut busy = server.client().login("ada@example.com");
        for _ in 0..4 {
            server.clock.advance(7 * DAY - Duration::from_secs(1));
            busy = refresh(&server, &busy).expect(200);
        }
        refresh(&server, &idle).expect_problem(401, "invalid_grant");
        server.clock.advance(2 * DAY + Duration::from_secs(4));
        refresh(&server, &busy).expect_problem(401, "invalid_grant");
    }

    fn r7_the_database_holds_nothing_that_refreshes(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let next = refresh(&server, &session).expect(200);
        let columns = ["handle_digest", "secret_digest", "parent_digest", "nonce"].map(|column| match backend {
            Backend::Postgres => format!("encode({column}, 'hex')"),
            Backend::Sqlite => format!("lower(hex({column}))"),
        });
        let stored = server.query_text(&format!("SELECT {} AS value FROM sessions", columns.join(" || ")));
        for token in [session.refresh_token(), next.refresh_token()] {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&token[4..]).expect("base64url");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!stored.contains(&hex[..32]) && !stored.contains(&hex[32..96]));
        }
    }

    fn r8_a_session_is_bound_to_its_client_and_its_scope_only_shrinks(backend) {
        let server = Server::start_with(backend, |config| {
            config.oauth.password_grant = true;
            config.oauth.public_clients = vec!["web".to_owned()];
            config.oauth.scope = "account read".parse().expect("a scope");
        });
        server.client().register("ada@example.com");
        let form = |fields: &[(&str, &str)]| server.client().form("/oauth2/token", fields);
        let session = form(&[("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD), ("client_id", "web"), ("scope", "read")]).expect(200);
        let token = session.refresh_token();
        let common = [("grant_type", "refresh_token"), ("refresh_token", &token)];
        form(&[&common[..], &[("client_id", "signet")]].concat()).expect_oauth(400, "invalid_grant");
        form(&[&common[..], &[("client_id", "web"), ("scope", "account read")]].concat()).expect_oauth(400, "invalid_scope");
        form(&[&common[..], &[("client_id", "web"), ("scope", "read")]].concat()).expect(200);
    }

    fn r8_a_grant_loses_what_the_roles_lose_and_a_new_role_adds_nothing_to_it(backend) {
        let server = Server::start_with(backend, |config| {
            config.roles.0.insert("editor".to_owned(), "write".parse().expect("a scope"));
        });
        server.client().register("ada@example.com");
        server.set_roles("ada@example.com", "editor");
        let session = server.client().login("ada@example.com");
        assert_eq!(session.json()["scope"], "account write");
        server.set_roles("ada@example.com", "admin");
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(refreshed.json()["scope"], "account");
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*refreshed.refresh_token()), ("scope", "write")];
        server.client().form("/oauth2/token", &fields).expect_oauth(400, "invalid_scope");
    }

    fn r9_logout_ends_the_family_once_and_logout_everywhere_all_of_them(backend) {
        let server = Server::start(backend);
        let [first, second, third] = [server.client().register("ada@example.com"), server.client().login("ada@example.com"), server.client().login("ada@example.com")];
        for _ in 0..2 {
            server.client().post("/v1/auth/logout", &json!({"refresh_token": first.refresh_token()})).expect(204);
        }
        refresh(&server, &first).expect_problem(401, "invalid_grant");
        assert_eq!(server.audited("authn_logout"), 1);
        server.client().bearer(&second.access_token()).post("/v1/auth/logout", &json!({"all": true})).expect(204);
        for session in [&second, &third] {
            refresh(&server, session).expect_problem(401, "invalid_grant");
        }
    }

    fn r10_a_user_lists_their_sessions_and_ends_one(backend) {
        let server = Server::start(backend);
        let asking = server.client().register("ada@example.com");
        let phone = server.client().with("user-agent", "phone/1");
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "label": "phone"});
        let ended = phone.post("/v1/auth/login", &body).expect(200);
        let client = server.client().bearer(&asking.access_token());
        let sessions = client.get("/v1/auth/sessions").expect(200).json()["sessions"].clone();
        let listed = sessions.as_array().expect("a list").iter().find(|session| session["current"] == false).expect("the phone");
        assert_eq!((&listed["user_agent"], &listed["address"], &listed["label"]), (&json!("phone/1"), &json!("127.0.0.1"), &json!("phone")));
        assert_eq!(listed["last_used_at"], listed["created_at"]);
        client.delete(&format!("/v1/auth/sessions/{}", listed["id"].as_str().expect("an id"))).expect(204);
        refresh(&server, &ended).expect_problem(401, "invalid_grant");
    }

    fn r12_no_token_of_another_session_outlives_a_password_change_under_load(backend) {
        // Log-ins go on after the password is a wrong one, which is not what this is about.
        let server = Server::start_with(backend, |config| config.throttle.enabled = false);
        let asking = server.client().register("ada@example.com");
        let others: Vec<Answer> = (0..10).map(|_| server.client().login("ada@example.com")).collect();
        let newest = at_once(21, |number| {
            if number == 20 {
                std::thread::sleep(Duration::from_millis(30));
                let body = json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"});
                server.client().bearer(&asking.access_token()).post("/v1/auth/change-password", &body).expect(204);
                return Vec::new();
            }
            // Two threads on each session, and two more that keep opening new ones.
            let mut session = others[number / 2].clone();
            let mut seen = vec![session.clone()];
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(600) {
                if number < 2 {
                    let body = json!({"email": "ada@example.com", "password": PASSWORD});
                    let opened = server.client().post("/v1/auth/login", &body);
                    assert!([200, 401].contains(&opened.status), "{}", opened.text);
                    if opened.status == 200 {
                        seen.push(opened);
                    }
                    continue;
                }
                let next = refresh(&server, &session);
                assert!([200, 401].contains(&next.status), "{}", next.text);
                if next.status == 200 {
                    session = next;
                    seen.push(session.clone());
                }
            }
            seen
        });
        for session in newest.iter().flatten() {
            server.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        for seen in &newest {
            if let Some(session) = seen.last() {
                refresh(&server, session).expect_problem(401, "invalid_grant");
            }
        }
        assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 1);
        refresh(&server, &asking).expect(200);
    }

    fn r12_no_session_outlives_disabling_under_load(backend) {
        // Log-ins go on after the password is a wrong one, which is not what this is about.
        let server = Server::start_with(backend, |config| config.throttle.enabled = false);
        let first = server.client().register("ada@example.com");
        at_once(9, |number| {
            if number == 8 {
                std::thread::sleep(Duration::from_millis(100));
                let disabled = Place::on(&server.config.database.url.0).run(&["users", "disable", "ada@example.com"]);
                assert!(disabled.status.success(), "{}", String::from_utf8_lossy(&disabled.stderr));
                return;
            }
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(600) {
                let body = json!({"email": "ada@example.com", "password": PASSWORD});
                let answer = if number < 4 { refresh(&server, &first) } else { server.client().post("/v1/auth/login", &body) };
                assert!([200, 401].contains(&answer.status), "{}", answer.text);
            }
        });
        assert_eq!(server.count("sessions WHERE revoked_at IS NULL"), 0);
        server.client().bearer(&first.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn r12_a_logout_wins_against_every_refresh_under_way(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        for _ in 0..10 {
            let session = server.client().login("ada@example.com");
            let answers = at_once(9, |number| {
                if number == 8 {
                    return server.client().post("/v1/auth/logout", &json!({"refresh_token": session.refresh_token()}));
                }
                refresh(&server, &session)
            });
            for answer in &answers {
                assert!([200, 204, 401].contains(&answer.status), "{}", answer.text);
                if answer.status == 200 {
                    refresh(&server, answer).expect_problem(401, "invalid_grant");
                }
            }
        }
        assert_eq!(server.audited("authn_token_reuse"), 0, "no honest party is taken for a thief");
    }

    fn r13_each_of_fifty_parallel_log_ins_opens_a_family_of_its_own(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let sessions = at_once(50, |_| server.client().login("ada@example.com"));
        let mut sids: Vec<String> = sessions.iter().map(|session| token::decode(&session.access_token()).1["sid"].to_string()).collect();
        sids.sort();
        sids.dedup();
        assert_eq!(sids.len(), 50);
        assert_eq!(server.audited("authn_login_success"), 50);
        server.client().post("/v1/auth/logout", &json!({"refresh_token": sessions[0].refresh_token()})).expect(204);
        refresh(&server, &sessions[1]).expect(200);
    }

    fn r14_a_database_that_is_away_never_costs_a_client_its_session(backend) {
        let server = impatient(backend);
        let session = server.client().register("ada@example.com");
        let outage = Outage::of(&server);
        // On SQLite each waits five seconds for the lock.
        for _ in 0..2 {
            let away = refresh(&server, &session).expect(503);
            // Where the audit trail is being sealed, that has the turn to wait for the lock.
            assert!(["unavailable", "overloaded"].contains(&away.text_at("/code").as_str()), "{}", away.text);
            assert!(away.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
        }
        let form = [("grant_type", "refresh_token"), ("refresh_token", &session.refresh_token())];
        let away = server.client().form("/oauth2/token", &form).expect_oauth(503, "temporarily_unavailable");
        assert!(!away.header("retry-after").is_empty());
        let refused = ["unavailable", "overloaded"].map(|outcome| server.metric(&format!("signet_refreshes_total{{outcome=\"{outcome}\"}}")));
        assert_eq!(refused.iter().sum::<f64>(), 3.0, "{refused:?}");
        let kinds = ["unreachable", "rejected", "too_many_connections", "lost", "read_only", "too_slow", "busy", "silent"];
        let failures = kinds.map(|kind| server.metric(&format!("signet_database_failures_total{{kind=\"{kind}\"}}")));
        assert!(failures.iter().sum::<f64>() >= 3.0, "{failures:?}");
        drop(outage);
        await_refresh(&server, &session);
    }
}

on_both! {
    fn r15_a_session_that_ended_leaves_by_itself_and_one_that_has_not_stays(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = backend.database(dir.path());
        let place = Place::ready(&url).with("SIGNET_CLEANUP__INTERVAL", "200ms");
        let service = place.serve();
        let ended = service.client().register("ada@example.com");
        let mut database = url.parse::<signet::db::Url>().expect("our own URL").connect().expect("there");
        // Its thirty days were over a month ago.
        execute(&mut database, match backend {
            Backend::Postgres => "UPDATE sessions SET expires_at = expires_at - interval '60 days'",
            Backend::Sqlite => "UPDATE sessions SET expires_at = expires_at - 60 * 86400000000",
        });
        let live = service.client().login("ada@example.com");
        let purged = || service.operator().get("/metrics").text.contains("signet_purged_rows_total{table=\"sessions\"} 1\n");
        wait::until("it does not leave", purged);
        service.client().refresh(&ended.refresh_token()).expect_problem(401, "invalid_grant");
        service.client().refresh(&live.refresh_token()).expect(200);
        let listed = service.client().bearer(&live.access_token()).get("/v1/auth/sessions").expect(200).json();
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1));
    }
}

/// Nothing is restarted.
fn await_refresh(server: &Server, session: &Answer) {
    wait::until("the session works no more", || {
        let answer = refresh(server, session);
        assert!([200, 503].contains(&answer.status), "{}", answer.text);
        answer.status == 200
    });
}

#[test]
fn r14_a_primary_that_became_a_standby_is_left_for_the_new_primary() {
    if !crate::support::postgres::is_available() {
        return;
    }
    let server = Server::start(Backend::Postgres);
    let session = server.client().register("ada@example.com");
    let name = server.query_text("SELECT current_database()::text AS value");
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut administrator = server.database();
    execute(&mut administrator, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    execute(&mut administrator, others);
    for _ in 0..20 {
        assert_eq!(refresh(&server, &session).status, 503);
    }
    // The connections that were made meanwhile stay read-only for as long as they live.
    execute(&mut administrator, &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    await_refresh(&server, &session);
}

#[test]
fn r5_without_a_grace_window_rotation_is_strict_and_a_replay_is_counted_and_audited() {
    let server = Server::start_with(Backend::Sqlite, |config| {
        config.session.grace = signet::config::Period(Duration::ZERO);
        config.session.recovery = Some(signet::config::Period(Duration::ZERO));
    });
    let session = server.client().register("ada@example.com");
    let next = refresh(&server, &session).expect(200);
    refresh(&server, &session).expect_problem(401, "invalid_grant");
    refresh(&server, &next).expect_problem(401, "invalid_grant");
    assert_eq!(server.audited("authn_token_reuse"), 1);
    assert_eq!(server.metric("signet_refreshes_total{outcome=\"reused\"}"), 1.0);
}
