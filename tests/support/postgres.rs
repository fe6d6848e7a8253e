//! A Postgres of our own: a cluster in a temporary folder, on a unix socket, gone when the tests are.
//!
//! `SIGNET_TEST_POSTGRES_URL` names another server to use instead. `SIGNET_TEST_POSTGRES=required` makes its absence a
//! failure; otherwise the tests say once what they leave out.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use signet::db::{Url, migrations};

use super::say;

/// A server in which each test gets a database.
struct Server {
    /// `{}` stands for the database's name.
    url: String,
    /// Ends the cluster when this process ends, however it does: its standard input closes then.
    _guard: Option<Child>,
}

/// Whether there is a Postgres to test on.
pub fn is_available() -> bool {
    server().is_some()
}

/// A new, migrated database; its URL.
pub fn database() -> String {
    let server = server().expect("asked only where Postgres is available");
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let template = TEMPLATE.get_or_init(|| {
        let name = fresh_name();
        execute(server, &format!("CREATE DATABASE {name}"));
        let url: Url = server.database_url(&name).parse().expect("our own URL");
        migrations::migrate(&url).expect("an empty database can be migrated");
        name
    });
    let name = fresh_name();
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    execute(server, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
    server.database_url(&name)
}

/// A new database without any table; its URL.
pub fn empty_database() -> String {
    let server = server().expect("asked only where Postgres is available");
    let name = fresh_name();
    execute(server, &format!("CREATE DATABASE {name}"));
    server.database_url(&name)
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn execute(server: &Server, sql: &str) {
    let mut connection = PgConnection::establish(&server.database_url("postgres")).expect("the server is there");
    connection.batch_execute(sql).expect("an administrator's statement");
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(find_or_start).as_ref()
}

impl Server {
    fn database_url(&self, name: &str) -> String {
        self.url.replace("{}", name)
    }
}

fn find_or_start() -> Option<Server> {
    if let Ok(url) = std::env::var("SIGNET_TEST_POSTGRES_URL") {
        let (base, query) = url.split_once('?').map_or((url.as_str(), ""), |(base, query)| (base, query));
        let (server, _) = base.rsplit_once('/').expect("SIGNET_TEST_POSTGRES_URL names a database");
        return Some(Server { url: format!("{server}/{{}}?{query}"), _guard: None });
    }
    match binaries() {
        Some(bin) => Some(start(&bin)),
        None if std::env::var("SIGNET_TEST_POSTGRES").is_ok_and(|wish| wish == "required") => {
            panic!("SIGNET_TEST_POSTGRES=required, but neither PATH nor /usr/lib/postgresql has initdb")
        }
        None => {
            say(
                "NOTE: no Postgres found (initdb in PATH or /usr/lib/postgresql/*/bin), so every test ran on SQLite only.",
            );
            None
        }
    }
}

fn binaries() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let packaged =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|dir| dir.path().join("bin"));
    let mut packaged: Vec<PathBuf> = packaged.collect();
    packaged.sort();
    on_path.chain(packaged.into_iter().rev()).find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

/// Who runs the cluster: Postgres refuses to be root.
fn unprivileged() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !is_root {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").expect("a machine has users");
    let id_of = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    Some(id_of("postgres").or_else(|| id_of("nobody")).expect("there is a user without privileges"))
}

fn start(bin: &Path) -> Server {
    let dir = tempfile::Builder::new().prefix("signet-pg-").tempdir().expect("a temporary folder").keep();
    let user = unprivileged();
    if let Some((uid, gid)) = user {
        chown(&dir, Some(uid), Some(gid)).expect("root may give a folder away");
    }
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).expect("our own folder");
    let as_user = |command: &mut Command| {
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&dir).env("LC_ALL", "C");
    };

    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["-D", "data", "-U", "signet", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    as_user(&mut initdb);
    let output = initdb.output().expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));

    // The shell outlives us for as long as it takes to stop the cluster and to remove the folder.
    let script = r#""$0" -D data -k "$PWD" -c listen_addresses= -c fsync=off -c max_connections=400 >log 2>&1 &
        server=$!; read -r _; kill -QUIT $server; wait $server; cd /; rm -rf "$1""#;
    let mut guard = Command::new("sh");
    guard.arg("-c").arg(script).arg(bin.join("postgres")).arg(&dir).stdin(Stdio::piped()).process_group(0);
    as_user(&mut guard);
    let guard = guard.spawn().expect("a shell runs");

    let host = dir.to_str().expect("a temporary path is UTF-8").replace('/', "%2F");
    let server = Server { url: format!("postgres://signet@/{{}}?host={host}"), _guard: Some(guard) };
    let begun = Instant::now();
    while let Err(error) = PgConnection::establish(&server.database_url("postgres")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the cluster does not come up: {error}");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}
