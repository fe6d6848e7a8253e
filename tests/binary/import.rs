//! `signet users import`: what goes in, what does not, and that it can be broken off.

use std::fmt::Write as _;

use crate::support::program::Place;
use crate::support::{Answer, Backend, PASSWORD, json, on_both, token};

/// Hashes of [`PASSWORD`] by other implementations; `src/hasher/foreign/tests.rs` says which.
const HASHES: [(&str, &str); 5] = [
    ("bcrypt", "$2b$04$SIYzu/075eLGYeD5i.KQ1eEGOXeOsPNPZ1iYqpaWZmnp.xJqVy9c2"),
    ("argon2d", "$argon2d$v=19$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$TbzMPtgpQb9Fl5dkb/m5e/Th1lVCfqjEtOuiFI5n6mg"),
    ("argon2id", "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$dXS1tLyOKGtm6Z8lUP5d19LcQ4ZLJq/Ggrd5bYLSnpM"),
    ("scrypt", "$scrypt$ln=4,r=8,p=1$c2l4dGVlbiBieXRlcyA6KQ$d3txmDrgvm6GKYPxfqISVSttFhRg8kS1WubtDPM8EQ4"),
    ("pbkdf2", "pbkdf2_sha256$100$saltOfDjango$/wi8NdaBxOSQne2FecOrKeo8jp1fdGLAp422oH0QaOg="),
];

fn place(backend: Backend) -> (tempfile::TempDir, String, Place) {
    let dir = tempfile::tempdir().expect("a folder");
    let url = backend.database(dir.path());
    let place = Place::ready(&url);
    (dir, url, place)
}

fn import(place: &Place, lines: &str) -> (bool, String, String) {
    let output = place.run_with_input(&["users", "import", "-"], lines);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // What takes a while says how far it is.
    let stderr = text(&output.stderr);
    let stderr = stderr.split_inclusive('\n').filter(|line| !line.contains(" lines a second)")).collect();
    (output.status.success(), text(&output.stdout), stderr)
}

fn number(url: &str, what: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        value: i64,
    }
    use diesel::RunQueryDsl as _;
    let url: signet::db::Url = url.parse().expect("our own URL");
    let query = diesel::sql_query(format!("SELECT count(*) AS value FROM {what}"));
    let rows: Vec<Row> = match &mut url.connect().expect("the database is there") {
        signet::db::Conn::Pg(c) => query.load(c),
        signet::db::Conn::Sqlite(c) => query.load(c),
    }
    .expect("a count");
    rows.first().expect("one row").value
}

fn execute(url: &str, sql: &str) {
    use diesel::connection::SimpleConnection as _;
    let url: signet::db::Url = url.parse().expect("our own URL");
    match &mut url.connect().expect("the database is there") {
        signet::db::Conn::Pg(c) => c.batch_execute(sql),
        signet::db::Conn::Sqlite(c) => c.batch_execute(sql),
    }
    .expect(sql);
}

on_both! {
    fn every_kind_of_hash_lets_its_user_in_and_is_ours_from_then_on(backend) {
        let (_dir, url, place) = place(backend);
        let mut lines = String::new();
        for (kind, hash) in HASHES {
            let line = json!({"email": format!("{kind}@example.com"), "password_hash": hash, "name": kind, "email_verified": true});
            writeln!(lines, "{line}").expect("text");
        }
        assert_eq!(import(&place, &lines), (true, "5 line(s): 5 imported, 0 there before, 0 refused\n".to_owned(), String::new()));
        assert_eq!(number(&url, "users WHERE password_hash LIKE 'imported%'"), 5);
        assert_eq!(number(&url, "audit_events WHERE kind = 'user_imported'"), 5);
        // A pepper is no part of what others hashed, and of what is hashed anew.
        let place = place.with("SIGNET_HASHING__PEPPER", "a pepper of some length");
        let service = place.serve();
        for (kind, _) in HASHES {
            let log_in = |password: &str| -> Answer {
                service.client().post("/v1/auth/login", &json!({"email": format!("{kind}@example.com"), "password": password}))
            };
            log_in("correct horse batterz").expect_problem(401, "invalid_credentials");
            let session = log_in(PASSWORD).expect(200).json();
            assert_eq!((&session["user"]["name"], &session["user"]["is_verified"]), (&json!(kind), &json!(true)));
            log_in(PASSWORD).expect(200);
            log_in("correct horse batterz").expect_problem(401, "invalid_credentials");
        }
        assert_eq!(number(&url, "users WHERE password_hash LIKE '$argon2id$v=19$m=64,t=1,p=1$%'"), 5);
    }

    fn what_is_wrong_is_told_with_its_line_and_the_rest_goes_in(backend) {
        let (_dir, _, place) = place(backend);
        let id = "7b0a6f0e-0c53-4f8e-9d5b-5c2f6f4f2a11";
        let lines = [
            json!({"email": "Ada@Example.com", "id": id, "roles": ["admin", "user"], "created_at": "2019-05-06T07:08:09Z"}).to_string(),
            json!({"email": "no address", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}).to_string(),
            String::new(),
            "nonsense".to_owned(),
            json!({"email": "bob@example.com", "is_admin": true}).to_string(),
            json!({"email": "ADA@example.com"}).to_string(),
            json!({"email": "eve@example.com", "id": id}).to_string(),
            json!({"email": "zoe@example.com", "disabled": true, "password_hash": HASHES[0].1}).to_string(),
            json!({"email": "old@example.com", "created_at": "2999-01-01T00:00:00Z"}).to_string(),
            json!({"email": "older@example.com", "created_at": "-009000-01-01T00:00:00Z"}).to_string(),
        ].join("\n");
        let (succeeded, stdout, stderr) = import(&place, &lines);
        assert_eq!((succeeded, stdout.as_str()), (false, "10 line(s): 3 imported, 1 there before, 5 refused\n"));
        let told: Vec<&str> = stderr.lines().collect();
        assert_eq!(told[0], "line 2: email: this is not an e-mail address; password_hash: is no hash of bcrypt, Argon2, scrypt or PBKDF2 that is known here; docs/import.md shows them");
        assert_eq!(told[1..], [
            "line 4: is not a JSON object, or has a field twice",
            "line 5: is_admin: there is no such field",
            "line 10: created_at: nobody came to a service like this before 1970",
            "line 7: id: another user has it",
            "signet: error: 5 line(s) were refused",
        ]);
        let service = place.serve();
        let disabled = json!({"email": "zoe@example.com", "password": PASSWORD});
        service.client().post("/v1/auth/login", &disabled).expect_problem(401, "invalid_credentials");
        // Nobody's password opens an account that came without.
        let without = json!({"email": "ada@example.com", "password": PASSWORD});
        service.client().post("/v1/auth/login", &without).expect_problem(401, "invalid_credentials");
        assert_eq!(service.client().post("/v1/auth/register", &without).status, 409);
        let set = place.run_with_input(&["users", "set-password", "ada@example.com"], &format!("{PASSWORD}\n"));
        assert!(set.status.success());
        let session = service.client().login("ada@example.com");
        let claims = token::decode(&session.access_token()).1;
        assert_eq!((&claims["sub"], &claims["roles"]), (&json!(id), &json!(["admin", "user"])));
        assert_eq!(session.json()["user"]["created_at"], "2019-05-06T07:08:09Z");
    }

    fn run_again_it_adds_only_what_is_missing_and_a_dry_run_adds_nothing(backend) {
        let (dir, url, place) = place(backend);
        let lines = |count: usize| (0..count).map(|n| format!("{{\"email\": \"user{n}@example.com\"}}\n")).collect::<String>();
        let file = dir.path().join("users.jsonl");
        std::fs::write(&file, lines(1_200)).expect("written");
        let file = file.to_str().expect("UTF-8");
        let dry = place.succeed(&["users", "import", "--dry-run", file]);
        assert_eq!((dry.as_str(), number(&url, "users")), ("dry run: 1200 line(s): 1200 imported, 0 there before, 0 refused\n", 0));
        // As when it was broken off after two batches.
        assert!(import(&place, &lines(1_000)).0);
        assert_eq!(place.succeed(&["users", "import", file]), "1200 line(s): 200 imported, 1000 there before, 0 refused\n");
        assert_eq!(place.succeed(&["users", "import", "--dry-run", file]), "dry run: 1200 line(s): 0 imported, 1200 there before, 0 refused\n");
        assert_eq!((number(&url, "users"), number(&url, "audit_events")), (1_200, 1_200));
        assert_eq!(number(&url, "users WHERE is_active AND last_login_at IS NULL"), 1_200);
    }

    fn two_at_once_make_each_user_once(backend) {
        let (_dir, url, place) = place(backend);
        let lines: String = (0..1_500).map(|n| format!("{{\"email\": \"user{n}@example.com\"}}\n")).collect();
        drop(place);
        let imported: i64 = std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                let (url, lines) = (&url, &lines);
                scope.spawn(move || {
                    let (succeeded, stdout, stderr) = import(&Place::on(url), lines);
                    assert!(succeeded, "{stderr}");
                    stdout.split_whitespace().nth(2).and_then(|count| count.parse::<i64>().ok()).expect("a count")
                })
            });
            threads.into_iter().map(|thread| thread.join().expect("done")).sum()
        });
        assert_eq!((imported, number(&url, "users"), number(&url, "audit_events")), (1_500, 1_500, 1_500));
    }
}

/// Twelve seconds are all that a transaction gets; here a batch takes longer.
#[test]
fn a_slow_database_takes_in_a_batch_with_several_transactions() {
    if !crate::support::postgres::is_available() {
        return;
    }
    let (_dir, url, place) = place(Backend::Postgres);
    execute(
        &url,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.045); RETURN NEW; END'",
    );
    execute(&url, "CREATE TRIGGER dawdle BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION dawdle()");
    let lines: String = (0..300).map(|n| format!("{{\"email\": \"user{n}@example.com\"}}\n")).collect();
    let (succeeded, stdout, stderr) = import(&place, &lines);
    assert!(succeeded, "{stderr}");
    assert_eq!(stdout, "300 line(s): 300 imported, 0 there before, 0 refused\n");
    assert_eq!((number(&url, "users"), number(&url, "audit_events WHERE kind = 'user_imported'")), (300, 300));
    let transactions = number(&url, "(SELECT DISTINCT xmin::text FROM users) AS transactions");
    assert_eq!(transactions, 6, "a chunk of fifty each");
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    let place = Place::ready_on_sqlite();
    assert!(place.fail(&["users", "import", "nowhere.jsonl"]).starts_with("nowhere.jsonl: "));
}
