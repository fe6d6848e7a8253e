//! The schema's history.

use signet::db::migrations::{self, Error, SchemaState};
use signet::db::{Conn, Url};

use crate::support::{Backend, on_both, postgres};

fn empty(backend: Backend, dir: &std::path::Path) -> Url {
    let url = match backend {
        Backend::Postgres => postgres::empty_database(),
        Backend::Sqlite => format!("sqlite:{}", dir.join("empty.db").display()),
    };
    url.parse().expect("our own URL")
}

fn execute(url: &Url, sql: &str) {
    use diesel::connection::SimpleConnection;
    match &mut url.connect().expect("connects") {
        Conn::Pg(c) => c.batch_execute(sql),
        Conn::Sqlite(c) => c.batch_execute(sql),
    }
    .expect(sql);
}

on_both! {
    fn an_empty_database_is_behind_and_looking_changes_nothing(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = empty(backend, dir.path());
        assert!(matches!(migrations::state(&url), Ok(SchemaState::Behind(1..))));
        assert!(matches!(migrations::state(&url), Ok(SchemaState::Behind(1..))));
    }

    fn migrating_twice_is_migrating_once(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = empty(backend, dir.path());
        assert!(!migrations::migrate(&url).expect("migrates").is_empty());
        assert_eq!(migrations::state(&url).expect("readable"), SchemaState::Current);
        assert_eq!(migrations::migrate(&url).expect("migrates"), Vec::<String>::new());
    }

    fn eight_instances_that_migrate_at_once_do_it_once(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = empty(backend, dir.path());
        let applied: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| migrations::migrate(&url).expect("migrates").len())).collect();
            threads.into_iter().map(|thread| thread.join().expect("finishes")).collect()
        });
        assert_eq!(applied.iter().filter(|count| **count > 0).count(), 1, "{applied:?}");
        assert_eq!(migrations::state(&url).expect("readable"), SchemaState::Current);
    }

    fn a_schema_of_a_newer_release_is_left_alone(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let url = empty(backend, dir.path());
        migrations::migrate(&url).expect("migrates");
        execute(&url, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
        assert_eq!(migrations::state(&url).expect("readable"), SchemaState::Newer("29991231000000".to_owned()));
        assert!(matches!(migrations::migrate(&url), Err(Error::Newer(version)) if version == "29991231000000"));
    }
}
