//! Refreshes against each other and against everything that ends or changes a session.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signet::access::role::Roles;
use signet::account::administer;
use signet::account::email::Email;
use signet::audit::Actor;
use signet::db::Db;
use signet::metrics::Metrics;

use crate::support::program::Place;
use crate::support::{Backend, Client, PASSWORD, Server, block_on, json, on_both, token};

/// How many times each race is run; `SIGNET_TEST_RACES=1000` for the long version.
fn rounds() -> usize {
    std::env::var("SIGNET_TEST_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// What a refresh is raced against; returns once it has been answered.
struct Rival {
    name: &'static str,
    run: fn(&World, access_token: &str, sid: &str),
}

struct World {
    server: Server,
    operator: Db,
    email: String,
}

const RIVALS: [Rival; 5] = [
    Rival {
        name: "log out",
        run: |world, access_token, _| {
            drop(world.server.client().bearer(access_token).post_empty("/v1/auth/logout").expect(204))
        },
    },
    Rival {
        name: "log out everywhere",
        run: |world, access_token, _| {
            drop(world.server.client().bearer(access_token).post("/v1/auth/logout", &json!({"all": true})).expect(204))
        },
    },
    Rival {
        name: "revoke from another session",
        run: |world, _, sid| {
            let other = world.server.client().login(&world.email);
            drop(
                world
                    .server
                    .client()
                    .bearer(&other.access_token())
                    .delete(&format!("/v1/auth/sessions/{sid}"))
                    .expect(204),
            );
        },
    },
    Rival {
        name: "change the password in another session",
        run: |world, _, _| {
            let other = world.server.client().login(&world.email);
            let body = json!({"current_password": PASSWORD, "new_password": PASSWORD});
            drop(
                world.server.client().bearer(&other.access_token()).post("/v1/auth/change-password", &body).expect(204),
            );
        },
    },
    Rival {
        name: "disable the user",
        run: |world, _, _| {
            let email = Email::parse(&world.email).expect("an address");
            block_on(administer::disable(&world.operator, Actor::operator(), email, None))
                .expect("there is such a user");
        },
    },
];

fn world(backend: Backend) -> World {
    let server = Server::start_with(backend, |config| config.database.pool_size = 8);
    let url = server.config.database.url.0.parse().expect("our own URL");
    let operator = Db::open(url, 2, Duration::from_secs(10), server.clock.clone(), Metrics::default());
    World { server, operator, email: "ada@example.com".to_owned() }
}

/// Refreshes on and on from `first` until it is refused; every token that was given.
fn refresh_until_refused(client: &Client, first: &str, most: usize) -> Vec<String> {
    let mut tokens = vec![first.to_owned()];
    for _ in 0..most {
        let answer = client.refresh(tokens.last().expect("at least the first"));
        match answer.status {
            200 => tokens.push(answer.refresh_token()),
            401 => break,
            other => panic!("{other}: {}", answer.text),
        }
    }
    tokens
}

on_both! {
    fn sixty_four_threads_with_one_token_get_one_successor(backend) {
        let world = world(backend);
        let session = world.server.client().register(&world.email);
        let mut presented = session.refresh_token();
        for generation in 1..=5 {
            let barrier = Barrier::new(64);
            let (client, token) = (world.server.client(), presented.clone());
            let successors: Vec<String> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..64).map(|_| scope.spawn(|| { barrier.wait(); client.refresh(&token).expect(200).refresh_token() })).collect();
                threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
            });
            assert!(successors.iter().all(|successor| *successor == successors[0]));
            assert_eq!(world.server.query_number("SELECT generation AS value FROM sessions"), generation);
            presented.clone_from(&successors[0]);
        }
    }

    fn sixty_four_threads_against_two_processes_get_one_successor(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path())).with("SIGNET_DATABASE__MAX_WAIT", "20s");
        let services = [place.serve(), place.serve()];
        let session = services[0].client().register("ada@example.com");
        let mut presented = session.refresh_token();
        for _ in 0..5 {
            let barrier = Barrier::new(64);
            let successors: Vec<String> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..64)
                    .map(|number| {
                        let (client, barrier, token) = (services[number % 2].client(), &barrier, &presented);
                        scope.spawn(move || { barrier.wait(); client.refresh(token).expect(200).refresh_token() })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
            });
            assert!(successors.iter().all(|successor| *successor == successors[0]));
            presented.clone_from(&successors[0]);
        }
        let rotated: f64 = services
            .iter()
            .map(|service| {
                let metrics = service.operator().get("/metrics").text;
                let line = metrics.lines().find_map(|line| line.strip_prefix("signet_refreshes_total{outcome=\"rotated\"} "));
                line.map_or(0.0, |count| count.parse().expect("a number"))
            })
            .sum();
        assert_eq!(rotated, 5.0, "one generation a round");
    }

    fn once_a_session_was_ended_none_of_its_tokens_ever_works_again(backend) {
        let mut world = world(backend);
        for round in 0..rounds() {
            for rival in &RIVALS {
                world.email = format!("ada{round}.{}@example.com", rival.name.replace(' ', "-"));
                let session = world.server.client().register(&world.email);
                let sid = token::decode(&session.access_token()).1["sid"].as_str().expect("a session").to_owned();
                let client = world.server.client();
                let barrier = Barrier::new(2);
                let (mut tokens, after) = std::thread::scope(|scope| {
                    let refreshing = scope.spawn(|| {
                        barrier.wait();
                        refresh_until_refused(&client, &session.refresh_token(), 200)
                    });
                    barrier.wait();
                    (rival.run)(&world, &session.access_token(), &sid);
                    // Answered. From here on nothing of this family may be given.
                    let after = client.refresh(&session.refresh_token());
                    (refreshing.join().expect("ends"), after)
                });
                assert_eq!(after.status, 401, "{}: {}", rival.name, after.text);
                assert!(tokens.len() < 201, "{}: the refreshing went on", rival.name);
                tokens.reverse();
                for dead in tokens {
                    assert_eq!(client.refresh(&dead).status, 401, "{}", rival.name);
                }
            }
        }
    }

    fn once_roles_were_changed_no_token_with_the_old_ones_is_issued(backend) {
        let mut world = world(backend);
        for round in 0..rounds() {
            world.email = format!("ada{round}@example.com");
            let session = world.server.client().register(&world.email);
            let client = world.server.client();
            let answered = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut presented, mut with_new_roles) = (session.refresh_token(), 0);
                    while with_new_roles < 3 {
                        let asked_afterwards = answered.load(Ordering::SeqCst);
                        let answer = client.refresh(&presented).expect(200);
                        presented = answer.refresh_token();
                        if asked_afterwards {
                            assert_eq!(token::decode(&answer.access_token()).1["roles"], json!(["admin", "user"]));
                            with_new_roles += 1;
                        }
                    }
                });
                let roles: Roles = "admin user".parse().expect("roles");
                let email = Email::parse(&world.email).expect("an address");
                block_on(administer::set_roles(&world.operator, Actor::operator(), email, roles)).expect("there is such a user");
                answered.store(true, Ordering::SeqCst);
            });
        }
    }

    fn a_refresh_that_had_to_wait_for_a_change_of_roles_carries_the_new_ones(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let answer = during(&server, &NEW_ROLES, || server.client().refresh(&session.refresh_token())).expect(200);
        assert_eq!(token::decode(&answer.access_token()).1["roles"], json!(["admin", "user"]));
    }

    fn a_log_in_that_had_to_wait_for_a_change_of_roles_has_the_new_ones(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let answer = during(&server, &NEW_ROLES, || server.client().login("ada@example.com"));
        assert_eq!(token::decode(&answer.access_token()).1["roles"], json!(["admin", "user"]));
        assert_eq!(server.count("sessions WHERE scope = 'account admin'"), 1);
        server.client().refresh(&answer.refresh_token()).expect(200);
    }

    fn a_log_in_that_had_to_wait_for_what_forbids_it_is_refused(backend) {
        let server = Server::start(backend);
        server.client().register("ada@example.com");
        let log_in = || server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD}));
        for (change, back, code) in [
            ("is_active = false", "is_active = true", "invalid_credentials"),
            ("has_second_factor = true", "has_second_factor = false", "mfa_required"),
        ] {
            during(&server, &[&format!("UPDATE users SET {change}")], log_in).expect_problem(401, code);
            server.execute(&format!("UPDATE users SET {back}"));
        }
        let of_another = "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE email = 'eve@example.com')";
        let eve = json!({"email": "eve@example.com", "password": "another battery staple"});
        server.client().post("/v1/auth/register", &eve).expect(201);
        during(&server, &[of_another], log_in).expect_problem(401, "invalid_credentials");
        assert_eq!(server.count("sessions"), 2, "the registrations'");
    }

    fn a_refresh_that_had_to_wait_for_the_end_of_its_session_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let now = if backend == Backend::Postgres { "now()" } else { "1795255200123456" };
        let end = format!("UPDATE sessions SET revoked_at = {now}, revoked_reason = 'logout'");
        let answer = during(&server, &[&end], || server.client().refresh(&session.refresh_token()));
        answer.expect_problem(401, "invalid_grant");
        assert_eq!(server.query_number("SELECT generation AS value FROM sessions"), 0);
    }
}

/// Everybody's.
pub(super) const NEW_ROLES: [&str; 2] = [
    "UPDATE users SET roles = 'admin user', access_version = access_version + 1",
    "UPDATE sessions SET access_version = access_version + 1",
];

/// Begins a transaction with these statements, lets `work` run into its locks, commits, and returns what `work` did.
pub(super) fn during<T: Send>(server: &Server, statements: &[&str], work: impl FnOnce() -> T + Send) -> T {
    use diesel::connection::SimpleConnection;
    use signet::db::Conn;
    let mut connection = server.database();
    let mut execute = |sql: &str| {
        match &mut connection {
            Conn::Pg(c) => c.batch_execute(sql),
            Conn::Sqlite(c) => c.batch_execute(sql),
        }
        .expect(sql);
    };
    execute(if server.config.database.url.0.starts_with("sqlite") { "BEGIN IMMEDIATE" } else { "BEGIN" });
    for statement in statements {
        execute(statement);
    }
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        std::thread::sleep(Duration::from_millis(400));
        assert!(!working.is_finished(), "it waits");
        execute("COMMIT");
        working.join().expect("answered")
    })
}
