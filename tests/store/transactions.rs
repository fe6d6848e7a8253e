//! Units of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use signet::clock::{Clock, Timestamp};
use signet::db::{Conn, Db, Error, Kind, Tx};
use signet::metrics::Metrics;

use crate::support::{Backend, block_on, on_both};

struct World {
    db: Db,
    metrics: Metrics,
    _dir: tempfile::TempDir,
}

fn world(backend: Backend, connections: u32) -> World {
    // How fast the machine is today is not what most tests are about.
    world_at(backend, connections, Duration::from_secs(60), at_ten())
}

/// One in which nobody waits long for a turn.
fn impatient_world(backend: Backend, connections: u32) -> World {
    world_at(backend, connections, Duration::from_millis(500), at_ten())
}

fn at_ten() -> Clock {
    Clock::manual(Timestamp::from_micros(1_795_255_200_000_000))
}

fn world_at(backend: Backend, connections: u32, max_wait: Duration, clock: Clock) -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let url = backend.database(dir.path()).parse().expect("our own URL");
    let metrics = Metrics::default();
    let db = Db::open(url, connections, max_wait, clock, metrics.clone());
    World { db, metrics, _dir: dir }
}

fn execute(tx: &mut Tx<'_>, sql: &str) -> QueryResult<()> {
    match tx.conn {
        Conn::Pg(c) => c.batch_execute(sql),
        Conn::Sqlite(c) => c.batch_execute(sql),
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    value: i64,
}

fn number(tx: &mut Tx<'_>, sql: &str) -> QueryResult<i64> {
    let count: Count = match tx.conn {
        Conn::Pg(c) => diesel::sql_query(sql).get_result(c),
        Conn::Sqlite(c) => diesel::sql_query(sql).get_result(c),
    }?;
    Ok(count.value)
}

fn serialization_failure() -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, Box::new("made up".to_owned()))
}

on_both! {
    fn what_fails_vanishes_and_what_succeeds_stays(backend) {
        let world = world(backend, 2);
        let db = world.db.clone();
        block_on(async {
            db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
            let failed: Result<(), Error> = db.tx("test.fail", |tx| {
                execute(tx, "INSERT INTO t VALUES (1)")?;
                Err(DieselError::RollbackTransaction)
            }).await;
            assert!(matches!(failed, Err(Error::Failed(_))));
            db.tx("test.keep", |tx| execute(tx, "INSERT INTO t VALUES (2)")).await.expect("kept");
            let sum = db.read("test.sum", |tx| number(tx, "SELECT CAST(sum(n) AS bigint) AS value FROM t")).await.expect("read");
            assert_eq!(sum, 2);
        });
    }

    fn a_serialization_failure_begins_the_transaction_afresh(backend) {
        let world = world(backend, 1);
        let (db, metrics) = (world.db.clone(), world.metrics.clone());
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        let outcome = block_on(db.tx("test.retry", move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) < 2 { Err(serialization_failure()) } else { Ok("done") }
        }));
        assert_eq!(outcome.expect("in the end"), "done");
        assert_eq!(attempts.load(Ordering::SeqCst), 3);
        assert_eq!(metrics.database_retries.with_label_values(&["test.retry"]).get(), 2);
    }

    fn one_that_never_succeeds_is_given_up_as_unavailable(backend) {
        let world = world(backend, 1);
        let db = world.db.clone();
        let outcome: Result<(), Error> = block_on(db.tx("test.hopeless", |_| Err(serialization_failure())));
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        block_on(db.tx("test.after", |_| Ok(()))).expect("the connection is still good");
    }

    fn a_panic_in_a_transaction_rolls_it_back_and_costs_nobody_else_anything(backend) {
        let world = world(backend, 1);
        let db = world.db.clone();
        block_on(async {
            db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
            let outcome: Result<(), Error> = db.tx("test.panic", |tx| {
                execute(tx, "INSERT INTO t VALUES (1)")?;
                panic!("on purpose")
            }).await;
            assert!(matches!(outcome, Err(Error::Failed(_))));
            let count = db.read("test.count", |tx| number(tx, "SELECT count(*) AS value FROM t")).await.expect("read");
            assert_eq!(count, 0);
        });
    }

    fn all_of_a_transaction_happens_at_one_time(backend) {
        let world = world(backend, 1);
        let db = world.db.clone();
        let (first, second) = block_on(db.tx("test.time", |tx| Ok((tx.now, tx.now)))).expect("runs");
        assert_eq!(first, second);
    }

    fn whoever_waits_too_long_for_a_connection_is_told_so(backend) {
        let world = impatient_world(backend, 1);
        let db = world.db.clone();
        block_on(async {
            let (done, first) = busy(&db).await;
            let waited: Result<(), Error> = db.read("test.wait", |_| Ok(())).await;
            assert!(matches!(waited, Err(Error::Overloaded)), "{waited:?}");
            done.send(()).expect("it waits");
            first.await.expect("no panic").expect("it did nothing");
        });
        assert_eq!(world.metrics.database_failures.with_label_values(&["busy"]).get(), 1);
    }

    fn many_writers_at_once_lose_nothing(backend) {
        let world = world(backend, 4);
        let db = world.db.clone();
        block_on(async {
            db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL); INSERT INTO t VALUES (0)")).await.expect("made");
            let writers: Vec<_> = (0..16).map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        // Reads first and writes later, which SQLite refuses unless the transaction began by taking the lock.
                        db.tx("test.add", |tx| {
                            let lock = if matches!(tx.conn, Conn::Pg(_)) { " FOR UPDATE" } else { "" };
                            let n = number(tx, &format!("SELECT n AS value FROM t{lock}"))?;
                            execute(tx, &format!("UPDATE t SET n = {}", n + 1))
                        }).await.expect("added");
                    }
                })
            }).collect();
            for writer in writers {
                writer.await.expect("runs");
            }
            assert_eq!(db.read("test.sum", |tx| number(tx, "SELECT n AS value FROM t")).await.expect("read"), 160);
        });
    }
}

#[test]
fn a_lost_connection_is_unavailable_and_replaced() {
    if !crate::support::postgres::is_available() {
        return;
    }
    let world = world(Backend::Postgres, 1);
    let db = world.db.clone();
    block_on(async {
        let terminate =
            "SELECT count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let lost = db.read("test.lose", move |tx| number(tx, terminate)).await;
        assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
        let back = db.read("test.back", |tx| number(tx, "SELECT 1::bigint AS value")).await;
        assert_eq!(back.expect("a new connection"), 1);
    });
}

/// As a file does whose disk became read-only: a connection that has noticed never writes again.
#[test]
fn a_connection_that_cannot_write_is_unavailable_and_replaced() {
    let world = world(Backend::Sqlite, 1);
    let db = world.db.clone();
    block_on(async {
        db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
        db.read("test.lock", |tx| execute(tx, "PRAGMA query_only = 1")).await.expect("locked");
        let write = |tx: &mut Tx<'_>| execute(tx, "INSERT INTO t VALUES (1)");
        let refused = db.tx("test.write", write).await;
        assert!(matches!(&refused, Err(Error::Unavailable(outage)) if outage.kind == Kind::ReadOnly), "{refused:?}");
        db.tx("test.write", write).await.expect("a new connection");
    });
    assert_eq!(world.metrics.database_failures.with_label_values(&["read_only"]).get(), 1);
}

#[test]
fn sqlite_answers_only_what_is_on_disk() {
    let world = world(Backend::Sqlite, 1);
    let db = world.db.clone();
    let pragma = |name: &'static str| {
        let sql = format!("SELECT {name} AS value FROM pragma_{name}");
        block_on(db.read("test.pragma", move |tx| number(tx, &sql))).expect("a pragma")
    };
    assert_eq!(pragma("synchronous"), 2, "FULL");
    assert_eq!(pragma("foreign_keys"), 1);
}

/// One unit of work that has a connection, and on SQLite the turn, until it is told to give it up; and its result.
async fn busy(db: &Db) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
    let (done, wait) = std::sync::mpsc::channel();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let db = db.clone();
    let first = tokio::spawn(async move {
        db.tx("test.busy", move |_| {
            begun.send(()).expect("somebody waits for it");
            wait.lock().expect("one at a time").recv().expect("told");
            Ok(())
        })
        .await
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.expect("no panic").expect("begun");
    (done, first)
}

type Work<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// Polls `works` until each waits for the turn, frees it, and gives what each led to.
async fn together<T>(db: &Db, works: Vec<Work<T>>) -> Vec<Result<T, Error>> {
    let (done, first) = busy(db).await;
    let all = futures_util::future::join_all(works);
    let free = async {
        tokio::task::yield_now().await;
        done.send(()).expect("it waits");
    };
    let (outcomes, ()) = futures_util::future::join(all, free).await;
    first.await.expect("no panic").expect("it did nothing");
    outcomes
}

#[test]
fn sqlite_commits_together_what_waits_together() {
    let world = world_at(Backend::Sqlite, 2, Duration::from_secs(60), Clock::system());
    let db = world.db.clone();
    let times = block_on(async {
        db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
        let insert = |_| -> Work<Timestamp> {
            let db = db.clone();
            Box::pin(async move {
                db.single("test.insert", |tx| execute(tx, "INSERT INTO t VALUES (1)").map(|()| tx.now)).await
            })
        };
        together(&db, (0..5).map(insert).collect()).await
    });
    let times: Vec<Timestamp> = times.into_iter().map(|time| time.expect("inserted")).collect();
    assert!(times.windows(2).all(|pair| pair[0] == pair[1]), "one transaction has one time: {times:?}");
    let count = block_on(world.db.read("test.count", |tx| number(tx, "SELECT count(*) AS value FROM t")));
    assert_eq!(count.expect("read"), 5);
}

#[test]
fn one_that_fails_or_panics_takes_no_other_with_it() {
    let world = world(Backend::Sqlite, 2);
    let db = world.db.clone();
    let outcomes = block_on(async {
        db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
        let work = |number: i64| -> Work<()> {
            let db = db.clone();
            Box::pin(async move {
                db.tx("test.work", move |tx| {
                    execute(tx, &format!("INSERT INTO t VALUES ({number})"))?;
                    assert_ne!(number, 20, "a defect");
                    if number == 3 { Err(DieselError::NotFound) } else { Ok(()) }
                })
                .await
            })
        };
        together(&db, [1, 20, 3, 400].map(work).into()).await
    });
    let failed: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, Err(Error::Failed(_)))).collect();
    assert_eq!(failed, [false, true, true, false], "{outcomes:?}");
    let sum = block_on(world.db.read("test.sum", |tx| number(tx, "SELECT sum(n) AS value FROM t")));
    assert_eq!(sum.expect("read"), 401);
}

#[test]
fn what_waited_too_long_for_the_turn_is_not_done() {
    let world = impatient_world(Backend::Sqlite, 2);
    let db = world.db.clone();
    let (late, gone) = block_on(async {
        db.tx("test.make", |tx| execute(tx, "CREATE TABLE t (n bigint NOT NULL)")).await.expect("made");
        let (done, first) = busy(&db).await;
        let insert = |db: Db| async move { db.single("test.late", |tx| execute(tx, "INSERT INTO t VALUES (1)")).await };
        let gone = tokio::time::timeout(Duration::from_millis(50), insert(db.clone())).await;
        let late = insert(db.clone()).await;
        done.send(()).expect("it waits");
        first.await.expect("no panic").expect("it did nothing");
        // Whoever comes next takes along what waits.
        db.tx("test.next", |_| Ok(())).await.expect("its turn");
        (late, gone)
    });
    assert!(matches!(late, Err(Error::Overloaded)), "{late:?}");
    assert!(gone.is_err(), "the client went away");
    let count = block_on(world.db.read("test.count", |tx| number(tx, "SELECT count(*) AS value FROM t")));
    assert_eq!(count.expect("read"), 0);
}
