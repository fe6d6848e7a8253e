//! Those who verify, each with a cache of its own. All know the issuer's URL and nothing else about the keys.

use std::time::{Duration, SystemTime};

use http_cache_semantics::CachePolicy;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use signet::clock::Clock;
use ureq::http::Request;

use super::{Cluster, gateway};
use crate::interop::process::Conversation;
use crate::interop::{AUDIENCE, install};
use crate::support::{Client, Value};

/// Says why a token is refused.
pub type Verify = Box<dyn FnMut(&str) -> Result<(), String> + Send>;

/// All that can be had on this machine.
pub fn all(cluster: &Cluster) -> Vec<(&'static str, Verify)> {
    let issuer = &cluster.front.url;
    let jwks_uri = format!("{issuer}/.well-known/jwks.json");
    let mut all: Vec<(&'static str, Verify)> = Vec::new();
    if let Some(mut python) = install::python() {
        let lifespan = cluster.scale.of(Duration::from_secs(300)).as_secs_f64().to_string();
        python.arg("pyjwt_verify.py").args([&jwks_uri, issuer, AUDIENCE, &lifespan]);
        all.push(("PyJWT", conversation(&mut python)));
    }
    if let Some(mut node) = install::node() {
        let millis = |seconds| cluster.scale.of(Duration::from_secs(seconds)).as_millis().to_string();
        node.arg("jose_verify.mjs").args([issuer, AUDIENCE, &millis(600), &millis(30)]);
        all.push(("jose", conversation(&mut node)));
    }
    if let Some(gateway) = gateway::start(&jwks_uri) {
        let client = Client::new(&gateway.serving.url);
        all.push((
            "Apache with mod_oauth2",
            Box::new(move |token| {
                let _alive = &gateway;
                let answer = client.bearer(token).get("/");
                if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text)) }
            }),
        ));
    }
    let mut obedient = Obedient::new(issuer, jwks_uri);
    all.push(("Rust, obeying Cache-Control", Box::new(move |token| obedient.verify(token))));
    let instances = [0, 1].map(|number: usize| cluster.instances[number].client());
    let mut turn = 0;
    all.push((
        "either instance",
        Box::new(move |token| {
            // Tokens of both come by, so every second one meets the instance that did not issue it.
            turn += 1;
            let answer = instances[turn % 2].bearer(token).get("/v1/auth/me");
            if answer.status == 200 { Ok(()) } else { Err(answer.text) }
        }),
    ));
    all
}

fn conversation(command: &mut std::process::Command) -> Verify {
    let mut conversation = Conversation::start(command);
    Box::new(move |token| {
        let said: Value = serde_json::from_str(&conversation.ask(token)).expect("a line of JSON");
        said.get("refused").map_or(Ok(()), |refused| Err(refused.to_string()))
    })
}

/// Keeps the JWKS exactly as long as HTTP allows (RFC 9111), and never looks for an unknown key before: the strictest
/// reading of our headers, as a gateway behind a caching proxy has it.
struct Obedient {
    jwks_uri: String,
    agent: ureq::Agent,
    validation: Validation,
    cached: Option<(CachePolicy, JwkSet)>,
}

impl Obedient {
    fn new(issuer: &str, jwks_uri: String) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        Self { jwks_uri, agent: ureq::Agent::new_with_defaults(), validation, cached: None }
    }

    fn verify(&mut self, token: &str) -> Result<(), String> {
        if self.cached.as_ref().is_none_or(|(policy, _)| policy.is_stale(now())) {
            self.cached = Some(self.fetch().map_err(|error| error.to_string())?);
        }
        let (_, keys) = self.cached.as_ref().expect("just filled");
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or("no kid")?;
        let key = keys.find(&kid).ok_or("unknown key")?;
        let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
        decode::<Value>(token, &key, &self.validation).map(drop).map_err(|error| error.to_string())
    }

    fn fetch(&self) -> Result<(CachePolicy, JwkSet), ureq::Error> {
        let request = Request::get(&self.jwks_uri).body(()).expect("a request");
        let mut response = self.agent.run(request.clone())?;
        let keys = response.body_mut().read_json()?;
        Ok((CachePolicy::new(&request, &response), keys))
    }
}

fn now() -> SystemTime {
    let micros = Clock::system().now().as_micros();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.try_into().expect("after 1970"))
}
