//! An upgrade as operators make it: migrate while the previous release serves, then replace its instances one by one.
//!
//! `SIGNET_TEST_PREVIOUS` names the previous release's program; `tests/resilience/previous COMMIT` builds it and runs this.

use std::path::PathBuf;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::crash::{HOLDERS, Holder};
use crate::support::program::Place;
use crate::support::{Client, postgres};

#[test]
#[ignore = "needs the program of the previous release: tests/resilience/previous COMMIT"]
fn nobody_loses_a_session_while_one_release_replaces_another() {
    let previous = PathBuf::from(std::env::var_os("SIGNET_TEST_PREVIOUS").expect("SIGNET_TEST_PREVIOUS is set"));
    assert!(postgres::is_available(), "instances share a Postgres");
    let old = Place::on(&postgres::empty_database()).with_program(previous);
    assert!(old.run(&["migrate"]).status.success() && old.run(&["keys", "new"]).status.success());
    let new = old.with_this_program();

    let (first, second) = (old.serve(), old.serve());
    let clients = RwLock::new([first.client(), second.client()]);
    let mut holders: Vec<Holder> = (0..HOLDERS).map(|number| Holder::register(&first.client(), number)).collect();
    let is_over = AtomicBool::new(false);
    let (third, fourth) = std::thread::scope(|scope| {
        for holder in &mut holders {
            scope.spawn(|| keep_refreshing(holder, &clients, &is_over));
        }
        let under_load = || std::thread::sleep(Duration::from_secs(1));
        under_load();
        new.succeed(&["migrate"]);
        under_load();
        let third = new.serve();
        clients.write().expect("unpoisoned")[0] = third.client();
        first.signal("TERM");
        assert_eq!(first.end().0, Some(0));
        under_load();
        let fourth = new.serve();
        clients.write().expect("unpoisoned")[1] = fourth.client();
        second.signal("TERM");
        assert_eq!(second.end().0, Some(0));
        under_load();
        is_over.store(true, Ordering::SeqCst);
        (third, fourth)
    });
    for holder in &holders {
        let one = third.client().refresh(holder.newest()).expect(200);
        let other = fourth.client().refresh(holder.newest()).expect(200);
        assert_eq!(one.refresh_token(), other.refresh_token(), "one branch");
        third.client().bearer(&one.access_token()).get("/v1/auth/me").expect(200);
        third.client().login(&holder.email);
    }
}

/// On whichever instance there is; one that has just ended does not answer, and the next one is asked with the same token.
fn keep_refreshing(holder: &mut Holder, clients: &RwLock<[Client; 2]>, is_over: &AtomicBool) {
    let mut turn = 0;
    while !is_over.load(Ordering::SeqCst) {
        let client = clients.read().expect("unpoisoned")[turn % 2].clone();
        holder.refresh(&client);
        turn += 1;
    }
    assert!(turn > 10, "there was load");
}
