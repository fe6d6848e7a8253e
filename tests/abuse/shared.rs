//! The count is one, however many guess at once, on however many instances, and whether they are restarted or not.

use super::*;
use crate::support::on_both;

/// The statuses of so many answers, sorted.
fn at_once(count: usize, ask: impl Fn(usize) -> u16 + Sync) -> Vec<u16> {
    let (ask, gate) = (&ask, &std::sync::Barrier::new(count));
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let start = |number| {
            scope.spawn(move || {
                gate.wait();
                ask(number)
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
    });
    statuses.sort_unstable();
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|own| **own == status).count()
}

on_both! {
    fn of_sixty_four_guesses_at_once_five_learn_anything(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let statuses = at_once(64, |n| login(&from(&server, &format!("198.51.{n}.1")), "ada@example.com", "not the password").status);
        assert_eq!((count(&statuses, 401), count(&statuses, 429)), (5, 59));
        assert_eq!(server.audited("authn_login_fail"), 5);
        assert_eq!(server.query_number("SELECT count(*) AS value FROM sessions"), 1);
    }

    fn on_two_instances_at_once_five_in_all(backend) {
        let first = behind_a_proxy(backend);
        from(&first, "192.0.2.1").register("ada@example.com");
        let second = Server::start_beside(&first, first.clock.clone(), |_| {});
        let statuses = at_once(64, |n| {
            let server = if n % 2 == 0 { &first } else { &second };
            login(&from(server, &format!("198.51.{n}.1")), "ada@example.com", "not the password").status
        });
        assert_eq!((count(&statuses, 401), count(&statuses, 429)), (5, 59));
        // The right password among them is no exception.
        login(&from(&first, "203.0.113.1"), "ada@example.com", PASSWORD).expect(429);
        login(&from(&second, "203.0.113.1"), "ada@example.com", PASSWORD).expect(429);
    }

    fn a_right_password_that_is_hashed_too_late_is_not_told(backend) {
        // So slow that all are looked at before the first is judged.
        let server = behind_a_proxy_with(backend, |config| {
            config.throttle.free_guesses = 1;
            config.hashing.memory_kib = 64 * 1024;
            config.hashing.iterations = 2;
        });
        from(&server, "192.0.2.1").register("ada@example.com");
        let statuses = at_once(8, |n| {
            // One hash after the other, in order of arrival: the right one comes last, when the wrong ones wait for theirs.
            let begun = std::time::Instant::now();
            while n == 0 && server.metric("signet_hash_queue_depth") < 6.0 && begun.elapsed() < MINUTE / 2 {}
            let password = if n == 0 { PASSWORD } else { "not the password" };
            login(&from(&server, &format!("198.51.{n}.1")), "ada@example.com", password).status
        });
        assert_eq!((count(&statuses, 401), count(&statuses, 429)), (1, 7));
        assert_eq!(server.query_number("SELECT count(*) AS value FROM sessions"), 1, "the registration's");
    }

    fn right_passwords_at_once_all_get_in(backend) {
        let server = behind_a_proxy(backend);
        from(&server, "192.0.2.1").register("ada@example.com");
        let statuses = at_once(32, |n| login(&from(&server, &format!("198.51.{n}.1")), "ada@example.com", PASSWORD).status);
        assert_eq!(count(&statuses, 200), 32);
    }

    fn guesses_at_many_accounts_at_once_neither_fail_nor_escape(backend) {
        let server = behind_a_proxy(backend);
        // The same buckets in all orders.
        let statuses = at_once(48, |n| {
            login(&from(&server, &format!("198.51.100.{}", n % 4)), &format!("user{}@example.com", n % 6), "not the password").status
        });
        assert_eq!(count(&statuses, 401) + count(&statuses, 429), 48, "{statuses:?}");
        assert!(count(&statuses, 401) <= 30, "five for each of six accounts");
    }

    fn registrations_at_once_are_counted_exactly(backend) {
        let server = behind_a_proxy(backend);
        let statuses = at_once(40, |n| {
            let body = json!({"email": format!("user{n}@example.com"), "password": PASSWORD});
            from(&server, "198.51.100.1").post("/v1/auth/register", &body).status
        });
        assert_eq!((count(&statuses, 201), count(&statuses, 429)), (20, 20));
    }

    fn instances_count_together(backend) {
        let first = behind_a_proxy(backend);
        let second = Server::start_beside(&first, first.clock.clone(), |_| {});
        let thief = |server| from(server, "198.51.100.1");
        for _ in 0..3 {
            login(&thief(&first), "ada@example.com", "not the password").expect(401);
        }
        assert_eq!(guess_until_refused(&thief(&second), "ada@example.com").0, 2);
        assert_eq!(guess_until_refused(&thief(&first), "ada@example.com").0, 0);
    }

    fn a_restart_forgets_nothing(backend) {
        let mut server = behind_a_proxy(backend);
        guess_until_refused(&from(&server, "198.51.100.1"), "ada@example.com");
        server.restart();
        assert_eq!(guess_until_refused(&from(&server, "198.51.100.1"), "ada@example.com").0, 0);
        server.clock.advance(MINUTE);
        assert_eq!(guess_until_refused(&from(&server, "198.51.100.1"), "ada@example.com").0, 1);
    }
}
