//! `deploy/proxy/`: the real nginx and Caddy with the example configurations, in front of a Signet that is configured as
//! their comments say. Only names of files and ports are other ones. They know no database, so one is enough.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ipnet::IpNet;
use serde_json::Value;
use signet::config::ForwardedHeader;
use tempfile::TempDir;

use crate::support::{Backend, PASSWORD, Server, json, ports, say, wait};

const HOST: &str = "id.example.com";
/// A client on another address of this machine than the proxy's.
const CLIENT: &str = "127.0.0.7";
const FORGED: &str = "203.0.113.9";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nginx,
    Caddy,
}

impl Kind {
    fn example(self) -> String {
        let name = match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
        };
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxy").join(name))
            .expect("the example")
    }

    /// Where the program is; `None`, said aloud, if it or what the test needs besides is not installed.
    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        };
        let missing = [name, "curl", "openssl"].into_iter().find(|name| find(name).is_none());
        if let Some(missing) = missing {
            let is_required = std::env::var("SIGNET_TEST_INTEROP").is_ok_and(|wish| wish == "required");
            assert!(!is_required, "SIGNET_TEST_INTEROP=required, but there is no {missing}");
            say(&format!("NOTE: there is no {missing}, so deploy/proxy was not tested with {name}."));
            return None;
        }
        find(name)
    }
}

/// A program in PATH, or where Debian has those of administrators.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    dirs.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// What the comments of an example say that Signet's configuration must be.
fn commented(example: &str, variable: &str) -> String {
    let line = example.lines().find_map(|line| line.strip_prefix(&format!("#   {variable}=")));
    line.unwrap_or_else(|| panic!("no {variable} in the comments")).to_owned()
}

/// A proxy in front of a Signet.
struct Front {
    process: Child,
    https: u16,
    http: u16,
    dir: TempDir,
    server: Server,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Front {
    fn start(kind: Kind, believed: ForwardedHeader) -> Option<Self> {
        let program = kind.program()?;
        let example = kind.example();
        let server = Server::start_on_system_clock(Backend::Sqlite, |config| {
            config.issuer = commented(&example, "SIGNET_ISSUER");
            let proxies = commented(&example, "SIGNET_PUBLIC__TRUSTED_PROXIES");
            config.public.trusted_proxies =
                vec![proxies.parse::<std::net::IpAddr>().map(IpNet::from).expect("an address")];
            config.public.forwarded_header = believed;
            // What the proxy limits is to be seen, and not what Signet does behind it.
            config.throttle.enabled = false;
        });
        let dir = tempfile::tempdir().expect("a folder");
        make_certificate(dir.path());
        let [https, http] = ports::free();
        let upstream = server.url.trim_start_matches("http://");
        let mut command = match kind {
            Kind::Nginx => nginx(&program, dir.path(), &example, upstream, https, http),
            Kind::Caddy => caddy(&program, dir.path(), &example, upstream, https, http),
        };
        let log = std::fs::File::create(dir.path().join("log")).expect("our folder");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut front = Self { process: command.spawn().expect("it starts"), https, http, dir, server };
        wait::until("it does not listen", || {
            let ended = front.process.try_wait().expect("a child");
            let log = std::fs::read_to_string(front.dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "it does not listen:\n{log}");
            TcpStream::connect(("127.0.0.1", https)).is_ok()
        });
        Some(front)
    }

    /// Sends a request as a client on [`CLIENT`].
    fn ask(&self, path: &str, arguments: &[&str]) -> Reply {
        self.ask_from(CLIENT, &format!("https://{HOST}:{}{path}", self.https), arguments)
    }

    fn ask_from(&self, address: &str, url: &str, arguments: &[&str]) -> Reply {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--include",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--interface",
            address,
        ]);
        curl.arg("--cacert").arg(self.dir.path().join("cert.pem"));
        for port in [self.https, self.http] {
            curl.arg("--resolve").arg(format!("{HOST}:{port}:127.0.0.1"));
        }
        let output = curl.args(["-H", "Expect:"]).args(arguments).arg(url).output().expect("curl runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let error = String::from_utf8_lossy(&output.stderr);
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{url}: {error}{said}"));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn post(&self, path: &str, body: &Value, arguments: &[&str]) -> Reply {
        let body = body.to_string();
        self.ask(path, &[&["-H", "Content-Type: application/json", "-d", &body], arguments].concat())
    }

    fn register(&self, email: &str) {
        assert_eq!(self.post("/v1/auth/register", &json!({"email": email, "password": PASSWORD}), &[]).status, 201);
    }

    /// The address in the newest row of the audit trail.
    fn audited_address(&self) -> String {
        self.server.query_text("SELECT address AS value FROM audit_events ORDER BY at DESC, id DESC LIMIT 1")
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    /// A header, or "".
    fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| {
            line.split_once(": ").filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(own, _)| own.len() + 2)
        };
        self.head.lines().find_map(|line| of(line).map(|start| line[start..].trim())).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn make_certificate(dir: &Path) {
    let subject =
        ["-subj", &format!("/CN={HOST}"), "-addext", &format!("subjectAltName=DNS:{HOST}")].map(str::to_owned);
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(subject)
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The example with other words in some places, each of which must be there.
fn substitute(example: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(example.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "the example has no {old}");
        text.replace(old, new)
    })
}

fn nginx(program: &Path, dir: &Path, example: &str, upstream: &str, https: u16, http: u16) -> Command {
    let at = dir.display();
    let site = substitute(
        example,
        &[
            ("server 127.0.0.1:8080;", format!("server {upstream};")),
            ("    listen [::]:80;\n", String::new()),
            ("    listen [::]:443 ssl http2;\n", String::new()),
            ("listen 80;", format!("listen 127.0.0.1:{http};")),
            ("listen 443 ssl http2;", format!("listen 127.0.0.1:{https} ssl http2;")),
            ("/etc/ssl/id.example.com/fullchain.pem", format!("{at}/cert.pem")),
            ("/etc/ssl/id.example.com/privkey.pem", format!("{at}/key.pem")),
        ],
    );
    std::fs::write(dir.join("signet.conf"), site).expect("our folder");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
        .concat();
    // What Debian's nginx.conf does around it. One process, so that killing it is enough.
    let main = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr; events {{}} \
         http {{ access_log off; {temporary} include {at}/signet.conf; }}"
    );
    std::fs::write(dir.join("nginx.conf"), main).expect("our folder");
    let mut command = Command::new(program);
    command.arg("-p").arg(dir).args(["-e", "stderr", "-c"]).arg(dir.join("nginx.conf"));
    command
}

fn caddy(program: &Path, dir: &Path, example: &str, upstream: &str, https: u16, http: u16) -> Command {
    let at = dir.display();
    let options =
        format!("{{\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n\tdefault_bind 127.0.0.1\n\tservers {{");
    let config = substitute(
        example,
        &[
            ("{\n\tservers {", options),
            ("reverse_proxy 127.0.0.1:8080", format!("reverse_proxy {upstream}")),
            ("\nid.example.com {\n", format!("\nid.example.com {{\n\ttls {at}/cert.pem {at}/key.pem\n")),
        ],
    );
    std::fs::write(dir.join("Caddyfile"), config).expect("our folder");
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(dir.join("Caddyfile"));
    command.env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir).env("HOME", dir);
    command
}

fn the_client_is_the_one_who_is_there(kind: Kind) {
    let Some(front) = Front::start(kind, ForwardedHeader::XForwardedFor) else { return };
    let ada = json!({"email": "ada@example.com", "password": PASSWORD});
    front.register("ada@example.com");
    assert_eq!(front.audited_address(), CLIENT);
    let forged = [
        format!("X-Forwarded-For: {FORGED}"),
        format!("X-Forwarded-For: {FORGED}, 127.0.0.1"),
        format!("X-Real-IP: {FORGED}"),
        format!("Forwarded: for={FORGED}"),
    ];
    for header in &forged {
        let session = front.post("/v1/auth/login", &ada, &["-H", header]);
        assert_eq!((session.status, front.audited_address().as_str()), (200, CLIENT), "{header}");
        let bearer = format!("Authorization: Bearer {}", session.json()["access_token"].as_str().expect("a token"));
        let list = front.ask("/v1/auth/sessions", &["-H", &bearer, "-H", header]).json();
        assert_eq!(list["sessions"][0]["address"], CLIENT, "{header}");
    }
    let wrong = json!({"email": "ada@example.com", "password": "wrong one"});
    assert_eq!(front.post("/v1/auth/login", &wrong, &["-H", &forged[0]]).status, 401);
    assert_eq!(front.audited_address(), CLIENT);
}

/// To a Signet that believes `Forwarded`, which these proxies do not write, the client is unknown: none can be made up.
fn the_other_header_is_taken_out(kind: Kind) {
    let Some(front) = Front::start(kind, ForwardedHeader::Forwarded) else { return };
    front.register("ada@example.com");
    let header = format!("Forwarded: for={FORGED}");
    let ada = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(front.post("/v1/auth/login", &ada, &["-H", &header]).status, 200);
    assert_eq!(front.audited_address(), "127.0.0.1");
}

fn what_a_browser_needs_comes_through(kind: Kind) {
    let Some(front) = Front::start(kind, ForwardedHeader::XForwardedFor) else { return };
    front.register("ada@example.com");
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "cookie": true});
    let session = front.post("/v1/auth/login", &body, &[]);
    assert_eq!(session.header("strict-transport-security"), "max-age=63072000");
    assert_eq!(session.header("x-content-type-options"), "nosniff");
    assert_eq!(session.header("cache-control"), "no-store");
    let cookie = session.header("set-cookie");
    assert!(cookie.starts_with("__Host-signet_refresh=sgr_") && cookie.contains("; Secure; Path=/"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().expect("a pair"));
    let origin = format!("Origin: https://{HOST}");
    let next = front.post("/v1/auth/refresh", &json!({}), &["-H", &cookie, "-H", &origin]);
    assert!(next.status == 200 && next.header("set-cookie").starts_with("__Host-signet_refresh=sgr_"), "{next:?}");
    let foreign = front.post("/v1/auth/refresh", &json!({}), &["-H", &cookie, "-H", "Origin: https://evil.example"]);
    assert_eq!((foreign.status, &foreign.json()["code"]), (403, &json!("forbidden")));

    let jwks = front.ask("/.well-known/jwks.json", &[]);
    let etag = format!("If-None-Match: {}", jwks.header("etag"));
    assert_eq!(front.ask("/.well-known/jwks.json", &["-H", &etag]).status, 304);
}

fn what_must_not_come_through_does_not(kind: Kind) {
    let Some(front) = Front::start(kind, ForwardedHeader::XForwardedFor) else { return };
    for path in ["/metrics", "/health/ready"] {
        assert_eq!(front.ask(path, &[]).status, 404, "{path}");
    }
    let plain = format!("http://{HOST}:{}/.well-known/jwks.json?a=b", front.http);
    let redirected = front.ask_from(CLIENT, &plain, &[]);
    assert_eq!(redirected.status, 308);
    let target = redirected.header("location");
    assert!(
        target.starts_with(&format!("https://{HOST}")) && target.ends_with("/.well-known/jwks.json?a=b"),
        "{target}"
    );

    let send = |bytes: usize| {
        let file = front.dir.path().join("body.json");
        std::fs::write(&file, format!(r#"{{"email":"{}"}}"#, "x".repeat(bytes))).expect("our folder");
        let body = format!("@{}", file.display());
        // Over HTTP/2 curl takes an answer that comes before the end of the body for a broken stream.
        let arguments = ["--http1.1", "-H", "Content-Type: application/json", "--data-binary", &body];
        front.ask("/v1/auth/login", &arguments)
    };
    let signets = send(20_000);
    assert_eq!((signets.status, &signets.json()["code"]), (413, &json!("payload_too_large")));
    let requests = || {
        let metrics = front.server.operator().get("/metrics").text;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("signet_http_requests_total{") && line.contains("/v1/auth/login"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = requests();
    assert!(before.iter().any(|line| line.contains("413")), "{before:?}");
    let refused = send(1_000_000);
    assert_eq!(refused.status, 413, "{refused:?}");
    assert_eq!(requests(), before, "it never reached Signet");
}

macro_rules! with_each {
    ($($name:ident)*) => {
        mod nginx_ {
            $(#[test] fn $name() { super::$name(super::Kind::Nginx) })*
        }
        mod caddy_ {
            $(#[test] fn $name() { super::$name(super::Kind::Caddy) })*
        }
    };
}
with_each! {
    the_client_is_the_one_who_is_there
    the_other_header_is_taken_out
    what_a_browser_needs_comes_through
    what_must_not_come_through_does_not
}

#[test]
fn nginx_limits_guesses_but_neither_refreshes_nor_other_addresses() {
    let Some(front) = Front::start(Kind::Nginx, ForwardedHeader::XForwardedFor) else { return };
    front.register("ada@example.com");
    let ada = json!({"email": "ada@example.com", "password": PASSWORD});
    let session = front.post("/v1/auth/login", &ada, &[]).json();
    let wrong = json!({"email": "ada@example.com", "password": "wrong one"});
    let replies: Vec<Reply> = (0..30).map(|_| front.post("/v1/auth/login", &wrong, &[])).collect();
    let judged = replies.iter().filter(|reply| reply.status == 401).count();
    let limited: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!((15..=25).contains(&judged) && judged + limited.len() == 30, "{judged} of 30 were judged");
    let limited = limited.first().expect("some were limited");
    assert_eq!((limited.header("retry-after"), limited.header("content-type")), ("5", "application/problem+json"));
    assert_eq!(limited.json()["code"], "too_many_requests");

    assert_eq!(front.post("/v1/auth/refresh", &json!({"refresh_token": session["refresh_token"]}), &[]).status, 200);
    let url = format!("https://{HOST}:{}/v1/auth/login", front.https);
    let body = ada.to_string();
    let other = front.ask_from("127.0.0.8", &url, &["-H", "Content-Type: application/json", "-d", &body]);
    assert_eq!(other.status, 200);
}
