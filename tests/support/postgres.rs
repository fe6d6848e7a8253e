//! A Postgres of our own: a cluster in a temporary folder, on a unix socket, gone when the tests are.
//!
//! `SIGNET_TEST_POSTGRES_URL` names another server to use instead. `SIGNET_TEST_POSTGRES=required` makes its absence a
//! failure; otherwise the tests say once what they leave out.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use signet::db::{Url, migrations};

use super::{ports, say, wait};

/// A server in which each test gets a database.
struct Server {
    /// `{}` stands for the database's name.
    url: String,
    _cluster: Option<Cluster>,
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
        return Some(Server { url: format!("{server}/{{}}?{query}"), _cluster: None });
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

/// One of the programs that come with the server, such as pg_dump: the server's own, or one in PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let own = binaries().map(|dir| dir.join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        own.into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join(name))).find(|file| file.is_file());
    match found {
        None if std::env::var("SIGNET_TEST_POSTGRES").is_ok_and(|wish| wish == "required") => {
            panic!("SIGNET_TEST_POSTGRES=required, but there is no {name}")
        }
        found => found,
    }
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
    let cluster = Cluster::start_with(bin, "-c listen_addresses=");
    let host = cluster.dir.to_str().expect("a temporary path is UTF-8").replace('/', "%2F");
    // How fast the machine is today is not the question.
    let url = format!("postgres://signet@/{{}}?host={host}&connect_timeout=60");
    Server { url, _cluster: Some(cluster) }
}

/// A server of a test's own, which it may kill and start again.
pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    options: String,
    /// Ends the server when this process ends, however it does: its standard input closes then.
    guard: Option<Child>,
}

impl Cluster {
    /// Starts one that listens on a loopback port.
    pub fn start_on_tcp() -> Self {
        let bin = binaries().expect("asked only where Postgres is available");
        let [port] = ports::free();
        Self::start_with(&bin, &format!("-c listen_addresses=127.0.0.1 -c port={port}"))
    }

    fn start_with(bin: &Path, options: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("signet-pg-").tempdir().expect("a temporary folder").keep();
        if let Some((uid, gid)) = unprivileged() {
            chown(&dir, Some(uid), Some(gid)).expect("root may give a folder away");
        }
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).expect("our own folder");
        let mut cluster = Self { bin: bin.to_owned(), dir, options: options.to_owned(), guard: None };
        let output = cluster
            .command("initdb")
            .args(["-D", "data", "-U", "signet", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .output()
            .expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        cluster.start();
        cluster
    }

    fn command(&self, program: &str) -> Command {
        let program = if program == "sh" { PathBuf::from(program) } else { self.bin.join(program) };
        let mut command = Command::new(program);
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.dir).env("LC_ALL", "C");
        command
    }

    /// Starts the server, again if need be, and waits until it takes connections.
    pub fn start(&mut self) {
        // The shell outlives us for as long as it takes to stop the server and to remove the folder.
        let script = r#""$0" -D data -k "$PWD" -c fsync=off -c max_connections=400 $2 >>log 2>&1 &
            server=$!; read -r end; kill -QUIT $server; wait $server; [ "$end" = keep ] || { cd /; rm -rf "$1"; }"#;
        let mut guard = self.command("sh");
        guard.arg("-c").arg(script).arg(self.bin.join("postgres")).arg(&self.dir).arg(&self.options);
        self.guard = Some(guard.stdin(Stdio::piped()).process_group(0).spawn().expect("a shell runs"));
        let url = format!("{}&connect_timeout=2", self.socket_url("postgres"));
        wait::until("the server does not come up", || PgConnection::establish(&url).is_ok());
    }

    /// Ends the server as a crash would (`pg_ctl stop -m immediate`); its data stays.
    pub fn crash(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.stdin.take().expect("piped").write_all(b"keep\n").expect("the shell reads");
            guard.wait().expect("the server ends");
        }
    }

    fn port(&self) -> &str {
        self.options.split_once("port=").map_or("5432", |(_, port)| port)
    }

    fn socket_url(&self, database: &str) -> String {
        let host = self.dir.to_str().expect("a temporary path is UTF-8").replace('/', "%2F");
        format!("postgres://signet@/{database}?host={host}&port={}", self.port())
    }

    /// Runs an administrator's statement.
    pub fn execute(&self, sql: &str) {
        self.execute_in("postgres", sql);
    }

    /// Runs an administrator's statement in a database.
    pub fn execute_in(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::establish(&self.socket_url(database)).expect("the server is there");
        connection.batch_execute(sql).expect(sql);
    }

    /// Runs an administrator's statement that may be refused.
    pub fn try_execute(&self, sql: &str) -> diesel::QueryResult<()> {
        PgConnection::establish(&self.socket_url("postgres")).expect("the server is there").batch_execute(sql)
    }

    /// From now on members of `role` need their passwords over TCP.
    pub fn demand_passwords_of(&self, role: &str) {
        let path = self.dir.join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&path).expect("readable");
        std::fs::write(&path, format!("host all +{role} 127.0.0.1/32 scram-sha-256\n{rules}")).expect("written");
        self.execute("SELECT pg_reload_conf()");
    }

    /// The address of the server.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// A new, migrated database of this server; its name.
    pub fn database(&self) -> String {
        let name = fresh_name();
        let mut connection = PgConnection::establish(&self.socket_url("postgres")).expect("the server is there");
        connection.batch_execute(&format!("CREATE DATABASE {name}")).expect("an administrator's statement");
        let url: Url = self.socket_url(&name).parse().expect("our own URL");
        migrations::migrate(&url).expect("an empty database can be migrated");
        name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}
