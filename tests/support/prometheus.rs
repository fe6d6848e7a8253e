//! A Prometheus that scrapes a service under test the way `deploy/prometheus/prometheus.yml` says, only more often.
//!
//! Debian's package `prometheus` has it, with promtool. Where there is none, the tests say once what they leave out;
//! `SIGNET_TEST_PROMETHEUS=required` makes that a failure.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Client, Value, ports, say, wait};

/// Where the configuration, the alerts and their tests are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

/// Whether both programs are there.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let runs = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|run| run.status.success());
        let available = runs("promtool") && runs("prometheus");
        let required = std::env::var("SIGNET_TEST_PROMETHEUS").is_ok_and(|wish| wish == "required");
        assert!(available || !required, "SIGNET_TEST_PROMETHEUS=required, but PATH has no promtool and prometheus");
        if !available {
            say("NOTE: no Prometheus found (promtool and prometheus in PATH), so it was not asked about metrics, alerts and panels.");
        }
        available
    })
}

/// A running Prometheus, killed when dropped.
pub struct Prometheus {
    child: Child,
    client: Client,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes a management listener every second.
    pub fn scraping(management_url: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let read = |name: &str| std::fs::read_to_string(folder().join(name)).expect("a file of deploy/prometheus");
        let target = management_url.strip_prefix("http://").expect("plain http");
        let config = read("prometheus.yml").replace("127.0.0.1:9100", target).replace(": 15s", ": 1s");
        assert!(config.contains(target) && config.contains("scrape_interval: 1s"), "{config}");
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("written");
        std::fs::write(dir.path().join("alerts.yml"), read("alerts.yml")).expect("written");
        let [port] = ports::free();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = Command::new("prometheus")
            .current_dir(dir.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("asked only where there is one");
        Self { child, client: Client::new(&format!("http://{address}")), _dir: dir }
    }

    /// The result of a query now. While Prometheus starts there is none.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.client.try_get(&format!("/api/v1/query?{}", encoded(&[("query", query)])));
        answer.filter(|answer| answer.status == 200).map_or(Vec::new(), |answer| result(&answer.json()))
    }

    /// The result of a query over the last seconds, one point for each.
    ///
    /// # Errors
    /// What Prometheus has against the query.
    pub fn query_range(&self, query: &str, seconds: u32) -> Result<Vec<Value>, String> {
        let now = self.query("time()")[0].as_f64().expect("a scalar is a pair of a time and a text");
        let parameters = [("start", now - f64::from(seconds)), ("end", now), ("step", 1.0)];
        let parameters = parameters.map(|(name, value)| (name, value.to_string()));
        let mut all: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(("query", query));
        let answer = self.client.get(&format!("/api/v1/query_range?{}", encoded(&all)));
        if answer.status == 200 { Ok(result(&answer.json())) } else { Err(answer.text) }
    }

    /// Waits until a query has a result.
    #[track_caller]
    pub fn await_result(&self, query: &str) -> Vec<Value> {
        let result = wait::until_some(|| Some(self.query(query)).filter(|result| !result.is_empty()));
        result.unwrap_or_else(|| panic!("no result of {query}: {:?}", self.query("up")))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(parameters: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn result(answer: &Value) -> Vec<Value> {
    answer["data"]["result"].as_array().expect("a list").clone()
}
