//! `signet backup`: a SQLite database, copied while it is in use.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::support::postgres;
use crate::support::program::Place;

fn count(database: &std::path::Path, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    let mut connection = SqliteConnection::establish(&database.display().to_string()).expect("a database");
    let sql = format!("SELECT count(*) AS value FROM {table}");
    diesel::sql_query(sql).get_result::<Row>(&mut connection).expect("a number").value
}

#[test]
fn a_backup_made_while_users_register_is_of_one_moment() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    service.client().register("first@example.com");
    let is_over = AtomicBool::new(false);
    let (mut before, mut registered) = (1, 1);
    std::thread::scope(|scope| {
        let (client, is_over) = (service.client(), &is_over);
        let writer = scope.spawn(move || {
            let mut count = 1;
            while !is_over.load(Ordering::SeqCst) {
                client.register(&format!("user{count}@example.com"));
                count += 1;
            }
            count
        });
        for name in ["one.db", "two.db", "three.db"] {
            place.succeed(&["backup", name]);
            let copy = place.path().join(name);
            let users = count(&copy, "users");
            // A registration writes one row into each, in one transaction.
            assert_eq!((count(&copy, "sessions"), count(&copy, "audit_events")), (users, users), "{name}");
            assert!(users >= before, "{users} users after {before}");
            before = users;
        }
        is_over.store(true, Ordering::SeqCst);
        registered = writer.join().expect("the writer ends");
    });
    assert_eq!(count(&place.path().join("signet.db"), "users"), registered, "nobody was turned away meanwhile");
}

#[test]
fn only_its_owner_can_read_a_backup_and_nothing_else_is_left_behind() {
    let place = Place::ready_on_sqlite();
    let said = place.succeed(&["backup", "copy.db"]);
    assert!(said.starts_with("copy.db: ") && said.contains("keys are not in it"), "{said}");
    let mode = std::fs::metadata(place.path().join("copy.db")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut files: Vec<_> =
        std::fs::read_dir(place.path()).expect("our folder").map(|file| file.expect("readable").file_name()).collect();
    files.sort();
    assert_eq!(files, ["copy.db", "keys", "signet.db"]);
}

#[test]
fn what_cannot_be_backed_up_is_one_line() {
    let place = Place::ready_on_sqlite();
    place.succeed(&["backup", "copy.db"]);
    let before = std::fs::read(place.path().join("copy.db")).expect("it is there");
    assert!(place.fail(&["backup", "copy.db"]).starts_with("copy.db: "));
    assert_eq!(std::fs::read(place.path().join("copy.db")).expect("it is there"), before, "and it stays as it was");
    assert!(place.fail(&["backup", "no/such/folder/copy.db"]).starts_with("no/such/folder/copy.db.draft: "));

    let empty = Place::on("sqlite:none.db");
    assert_eq!(empty.fail(&["backup", "copy.db"]), "none.db: there is no database");
    assert!(std::fs::read_dir(empty.path()).expect("our folder").next().is_none(), "none was made");

    let broken = Place::on("sqlite:signet.db");
    std::fs::write(broken.path().join("signet.db"), [b'x'; 8192]).expect("written");
    assert!(broken.fail(&["backup", "copy.db"]).contains("not a database"));
    assert!(!broken.path().join("copy.db").exists() && !broken.path().join("copy.db.draft").exists());
}

#[test]
fn half_a_database_is_found_out() {
    let place = Place::ready_on_sqlite();
    let service = place.serve();
    (0..20).for_each(|user| drop(service.client().register(&format!("user{user}@example.com"))));
    service.signal("TERM");
    service.end();
    let database = std::fs::read(place.path().join("signet.db")).expect("ours");
    std::fs::write(place.path().join("signet.db"), &database[..database.len() / 2]).expect("ours");
    let said = place.fail(&["backup", "copy.db"]);
    assert!(said.contains("malformed") || said.contains("damaged"), "{said}");
    assert!(!place.path().join("copy.db").exists());
}

#[test]
fn backup_of_postgres_is_refused_with_what_does_it() {
    if postgres::is_available() {
        let place = Place::on(&postgres::database());
        assert!(place.fail(&["backup", "copy.dump"]).contains("Postgres is backed up with pg_dump"));
        assert!(!place.path().join("copy.dump").exists());
    }
}
