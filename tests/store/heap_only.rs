//! Rotations leave nothing behind on Postgres: each new version of a row stays on its page, and no index hears of it.
//!
//! `benches/scale/run hot` does half a million of them and prints the same figures.

use std::collections::BTreeMap;

use signet::app::App;
use signet::http::origin::Origin;
use signet::session::refresh::{Conditions, refresh};
use signet::session::token::RefreshToken;

use crate::support::{Backend, Server, block_on, postgres, wait};

const SESSIONS: usize = 100;
/// So often is each rotated before the table is measured: one that was only inserted into finds its room first.
const SETTLING_ROUNDS: usize = 5;
const ROUNDS: usize = 20;
const TRIES: usize = 5;

#[test]
fn rotations_are_heap_only_and_grow_neither_the_table_nor_an_index() {
    if !postgres::is_available() {
        return;
    }
    let server = Server::start(Backend::Postgres);
    server.client().register("ada@example.com");
    let mut texts: Vec<String> =
        (0..SESSIONS).map(|_| server.client().login("ada@example.com").refresh_token()).collect();
    // At random, as clients come: they begin with their handles.
    texts.sort();
    let mut tokens: Vec<RefreshToken> = texts.iter().map(|text| RefreshToken::parse(text).expect("a token")).collect();
    // Nobody but the rotations themselves clears up.
    server.execute("ALTER TABLE sessions SET (autovacuum_enabled = false)");
    rotate(&server, &mut tokens, SETTLING_ROUNDS);
    // A version stays as long as any transaction on the whole server may see it, and other tests have theirs: what is held
    // up by one of those, and then grows, is tried again. An index in the way leaves none heap-only, however often.
    let mut flawed = Vec::new();
    for nth in 1..=TRIES {
        let outcome = Outcome::of(&server, &mut tokens, nth);
        if outcome.is_well() {
            return;
        }
        flawed.push(outcome);
    }
    panic!("the rotations left something behind each time: {flawed:#?}");
}

/// What came of [`ROUNDS`] rotations of each session.
#[derive(Debug)]
struct Outcome {
    heap_only_percent: i64,
    /// Before and after.
    indexes: [BTreeMap<String, i64>; 2],
    table: [i64; 2],
}

impl Outcome {
    /// For the `nth` time.
    fn of(server: &Server, tokens: &mut [RefreshToken], nth: usize) -> Self {
        let (indexes, table) = (sizes_of_indexes(server), size_of_table(server));
        let heap_only_percent = heap_only_percent(server, tokens, nth);
        Self { heap_only_percent, indexes: [indexes, sizes_of_indexes(server)], table: [table, size_of_table(server)] }
    }

    fn is_well(&self) -> bool {
        let ([indexes, indexes_after], [table, table_after]) = (&self.indexes, self.table);
        // Were the versions kept, the table would be as many times as large as there were rounds.
        self.heap_only_percent >= 95 && indexes_after == indexes && table_after <= table + table / 4
    }
}

/// Of [`ROUNDS`] rotations of each session, for the `nth` time.
fn heap_only_percent(server: &Server, tokens: &mut [RefreshToken], nth: usize) -> i64 {
    let made = |rounds: usize| i64::try_from(tokens.len() * rounds).expect("few");
    let (earlier, made) = (made(SETTLING_ROUNDS + (nth - 1) * ROUNDS), made(ROUNDS));
    let before = Updates::of_at_least(server, earlier);
    rotate(server, tokens, ROUNDS);
    let updates = Updates::of_at_least(server, earlier + made).since(before);
    assert_eq!(updates.all, made, "one version of a row for each rotation");
    updates.heap_only * 100 / updates.all
}

/// Through the service's own code, without the signatures and the HTTP around it.
fn rotate(server: &Server, tokens: &mut [RefreshToken], rounds: usize) {
    let app = App::build(server.config.clone(), server.clock.clone()).expect("the service can be built");
    // One after the other: an old version stays as long as any transaction may see it, and on a table of a few pages one
    // connection that a busy machine holds up for a moment would spoil the figure. `benches/scale` has many clients.
    block_on(async {
        for _ in 0..rounds {
            for token in &mut *tokens {
                let rotated = refresh(&app, token.clone(), Conditions::default(), Origin::default()).await;
                *token = rotated.expect("a live session").refresh_token;
            }
        }
    });
}

#[derive(Debug, Clone, Copy)]
struct Updates {
    all: i64,
    heap_only: i64,
}

impl Updates {
    fn of(server: &Server) -> Self {
        let number = |column: &str| {
            server
                .query_number(&format!("SELECT {column} AS value FROM pg_stat_user_tables WHERE relname = 'sessions'"))
        };
        Self { all: number("n_tup_upd"), heap_only: number("n_tup_hot_upd") }
    }

    /// Each connection tells of its work some time later, at the latest when it ends.
    fn of_at_least(server: &Server, all: i64) -> Self {
        let updates = wait::until_some(|| Some(Self::of(server)).filter(|updates| updates.all >= all));
        updates.unwrap_or_else(|| panic!("{:?}, and {all} were made", Self::of(server)))
    }

    fn since(self, before: Self) -> Self {
        Self { all: self.all - before.all, heap_only: self.heap_only - before.heap_only }
    }
}

fn size_of_table(server: &Server) -> i64 {
    server.query_number("SELECT pg_relation_size('sessions') AS value")
}

fn sizes_of_indexes(server: &Server) -> BTreeMap<String, i64> {
    let names = server.query_texts("SELECT indexname::text AS value FROM pg_indexes WHERE tablename = 'sessions'");
    let size = |name: &str| server.query_number(&format!("SELECT pg_relation_size('{name}') AS value"));
    names.into_iter().map(|name| (name.clone(), size(&name))).collect()
}
