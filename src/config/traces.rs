//! `[traces]`: where spans go.

use schemars::JsonSchema;

/// Traces: where the time of a request goes, and of which larger whole it is part (W3C Trace Context).
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Where spans are sent: the base URL of a collector that takes OTLP over HTTP, as `http://127.0.0.1:4318`. Empty:
    /// nowhere. `https` needs a build with the feature `tls`, as images have it.
    pub endpoint: String,
    /// The share of requests that are traced, from 0 to 1, where the caller has not decided. A caller that sends
    /// `traceparent` has.
    pub sample_ratio: f64,
    /// What this service is called in traces (`service.name`).
    pub service_name: String,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), sample_ratio: 1.0, service_name: "signet".to_owned() }
    }
}

impl TracesConfig {
    /// Whether there is anywhere to send spans.
    pub fn is_exported(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Everything wrong with these values, one line each.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            findings.push("traces.sample_ratio: must be from 0 to 1".to_owned());
        }
        if self.service_name.is_empty() {
            findings.push("traces.service_name: must not be empty".to_owned());
        }
        let endpoint = url::Url::parse(&self.endpoint).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        match endpoint {
            _ if self.endpoint.is_empty() => {}
            None => findings.push("traces.endpoint: does not read like http://127.0.0.1:4318".to_owned()),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                findings.push("traces.endpoint: must not carry credentials".to_owned());
            }
            Some(url) if url.scheme() == "https" && !cfg!(feature = "tls") => {
                findings.push("traces.endpoint: https needs a build with the feature `tls`".to_owned());
            }
            Some(_) => {}
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_a_finding() {
        let findings = |file: &str| toml::from_str::<TracesConfig>(file).expect("parses").findings();
        assert_eq!(findings(""), Vec::<String>::new());
        assert_eq!(findings("endpoint = 'http://127.0.0.1:4318'"), Vec::<String>::new());
        for (file, finding) in [
            ("sample_ratio = 1.5", "traces.sample_ratio"),
            ("sample_ratio = nan", "traces.sample_ratio"),
            ("service_name = ''", "traces.service_name"),
            ("endpoint = '127.0.0.1:4318'", "traces.endpoint: does not read"),
            ("endpoint = 'grpc://x:4317'", "traces.endpoint: does not read"),
            ("endpoint = 'http://x:4318?a=b'", "traces.endpoint: does not read"),
            ("endpoint = 'http://u:p@x:4318'", "traces.endpoint: must not carry"),
        ] {
            let found = findings(file);
            assert!(found.len() == 1 && found[0].starts_with(finding), "{file}: {found:?}");
        }
    }
}
