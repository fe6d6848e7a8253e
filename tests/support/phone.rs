//! An authenticator app, as a user has it: it reads the URI that Signet gives and shows codes by the server's clock.

use std::time::Duration;

use signet::clock::Timestamp;
use signet::config::{Config, Secret};
use totp_rs::{Secret as TotpSecret, Totp};

use super::{Answer, Client, PASSWORD, Server, Value, json};

/// As long as a code is shown.
pub const STEP: Duration = Duration::from_secs(30);

/// A key that secrets are sealed with: 32 bytes.
pub const SEALING_KEY: &str = "c2lnbmV0IHRlc3RzIHNlYWwgc2VjcmV0cyB3aXRoISE=";

/// Has a service offer second factors.
pub fn switch_on(config: &mut Config) {
    config.mfa.secret_key = Secret(SEALING_KEY.to_owned());
}

/// The app.
#[derive(Debug, Clone)]
pub struct Phone {
    totp: Totp,
    pub recovery_codes: Vec<String>,
}

impl Phone {
    /// Reads what enrolment answers.
    #[track_caller]
    pub fn scan(enrolment: &Answer) -> Self {
        let phone = Self::of_uri(&enrolment.text_at("/otpauth_uri"));
        let typed = TotpSecret::try_from_base32(enrolment.text_at("/secret")).expect("base32");
        assert_eq!(typed.as_bytes(), phone.totp.secret().as_bytes());
        phone
    }

    /// Reads a URI.
    pub fn of_uri(uri: &str) -> Self {
        Self { totp: Totp::from_url(uri).expect("an app can read it"), recovery_codes: Vec::new() }
    }

    /// What it has read.
    pub fn uri(&self) -> String {
        self.totp.to_url().expect("it was one")
    }

    /// Adds an app to the account behind an access token.
    #[track_caller]
    pub fn add(server: &Server, client: &Client) -> Self {
        let mut phone = Self::scan(&client.post_empty("/v1/auth/mfa/totp").expect(200));
        let answer = client.post("/v1/auth/mfa/totp/confirm", &json!({"code": phone.code(server)})).expect(200);
        let codes = answer.json()["recovery_codes"].clone();
        phone.recovery_codes = serde_json::from_value(codes).expect("a list of codes");
        phone
    }

    /// What it shows now.
    pub fn code(&self, server: &Server) -> String {
        self.code_of_step(server, 0)
    }

    /// What it shows so many steps from now.
    pub fn code_of_step(&self, server: &Server, away: i64) -> String {
        let now = server.clock.now().as_seconds() + away * 30;
        self.code_at(Timestamp::from_micros(now * 1_000_000))
    }

    /// What it shows at a time.
    pub fn code_at(&self, time: Timestamp) -> String {
        self.totp.generate(u64::try_from(time.as_seconds()).expect("after 1970")).to_string()
    }

    /// What it shows once the present code has gone.
    pub fn next_code(&self, server: &Server) -> String {
        server.clock.advance(STEP);
        self.code(server)
    }

    /// Six digits that it does not show now, nor a step from now on either side.
    pub fn wrong_code(&self, server: &Server) -> String {
        let good: Vec<String> = (-1..=1).map(|away| self.code_of_step(server, away)).collect();
        let mut others = (0..).map(|number| format!("{number:06}"));
        others.find(|code| !good.contains(code)).expect("there are a million")
    }
}

/// The first step of a log-in, with [`PASSWORD`]: the challenge.
#[track_caller]
pub fn first_step(client: &Client, email: &str) -> String {
    let answer = client.post("/v1/auth/login", &json!({"email": email, "password": PASSWORD}));
    answer.expect_problem(401, "mfa_required").text_at("/mfa_token")
}

/// The second.
pub fn second_step(client: &Client, mfa_token: &str, code: &str) -> Answer {
    client.post("/v1/auth/login/mfa", &body(mfa_token, code))
}

pub fn body(mfa_token: &str, code: &str) -> Value {
    json!({"mfa_token": mfa_token, "code": code})
}

/// Both steps.
#[track_caller]
pub fn log_in(server: &Server, client: &Client, email: &str, phone: &Phone) -> Answer {
    let challenge = first_step(client, email);
    second_step(client, &challenge, &phone.next_code(server)).expect(200)
}
