//! Everything that the service and its commands do with the database, and which statements it takes.

use std::time::Duration;

use futures_util::future::join_all;
use signet::access::role::Roles;
use signet::account::administer;
use signet::account::email::Email;
use signet::account::import::{self, Terms};
use signet::account::password::{NewPassword, Password, Subject};
use signet::app::App;
use signet::audit::Actor;
use signet::cleanup::{self, Limits, Table};
use signet::hasher::Hasher;
use signet::http::origin::Origin;
use signet::mail::Outbox;
use signet::metrics::Metrics;
use signet::mfa::reset;
use signet::session::end;
use signet::session::refresh::{Conditions, refresh};
use signet::session::token::RefreshToken;

use super::fill::fill;
use super::hearing::{Heard, listen_to, locked};
use super::plan;
use crate::api::admin;
use crate::api::api_key::{eventually, exchange, make_key, with_another_secret, with_key};
use crate::support::phone::{self, Phone, second_step};
use crate::support::{Backend, PASSWORD, Server, block_on, json, token};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service, and what it was heard to send while something was done with it.
pub(super) struct Ledger {
    pub(super) server: Server,
    heard: Heard,
    entries: Vec<(&'static str, Vec<String>)>,
}

impl Ledger {
    fn start(backend: Backend) -> Self {
        let mut server = Server::start_with(backend, phone::switch_on);
        let heard = listen_to(&server.config.database.url.0);
        // Only connections that are made from now on are heard.
        server.restart();
        Self { server, heard, entries: Vec::new() }
    }

    /// Does something and notes which statements it took, each once.
    fn note<T>(&mut self, what: &'static str, work: impl FnOnce(&Server) -> T) -> T {
        locked(&self.heard).clear();
        let result = work(&self.server);
        let mut statements: Vec<String> = Vec::new();
        for statement in locked(&self.heard).drain(..) {
            if is_planned(&statement) && !statements.contains(&statement) {
                statements.push(statement);
            }
        }
        assert!(!statements.is_empty(), "{what}: no statement was heard");
        self.entries.push((what, statements));
        result
    }

    /// Everything that the service and its commands do with the tables.
    pub(super) fn of_everything(backend: Backend) -> Self {
        let mut ledger = Self::start(backend);
        ledger.requests();
        ledger.audit_and_webhooks();
        ledger.second_factors();
        ledger.administration();
        ledger.commands();
        ledger.clean_up();
        // In the end, so that whatever was done above was quick: a database as it is after some time in service.
        fill(&mut ledger.server.database());
        ledger
    }

    fn requests(&mut self) {
        let mut session = self.note("register", |server| server.client().register("ada@example.com"));
        session = self.note("refresh", |server| server.client().refresh(&session.refresh_token()).expect(200));
        let parent = session.refresh_token();
        let fields = [("grant_type", "refresh_token"), ("client_id", "signet"), ("refresh_token", parent.as_str())];
        self.note("refresh by a client that names itself", |server| {
            server.client().form("/oauth2/token", &fields).expect(200)
        });
        self.note("refresh again within the grace window", |server| server.client().refresh(&parent).expect(200));
        let others =
            ["b", "c"].map(|name| self.server.client().register(&format!("{name}@example.com")).refresh_token());
        self.note("refreshes that come together", |server| refresh_together(server, &others));
        self.server.clock.advance(Duration::from_secs(60));
        session = self.note("recover a lost response", |server| server.client().refresh(&parent).expect(200));
        let stale = session.refresh_token();
        session = self.server.client().refresh(&stale).expect(200);
        self.server.client().refresh(&session.refresh_token()).expect(200);
        self.note("reuse", |server| server.client().refresh(&stale).expect(401));

        let log_in = json!({"email": "ada@example.com", "password": PASSWORD});
        session = self.note("log in", |server| server.client().post("/v1/auth/login", &log_in).expect(200));
        let asking = json!({"email": "ada@example.com", "password": PASSWORD, "remember_device": true});
        let known = self.note("log in from a new device", |server| {
            server.client().post("/v1/auth/login", &asking).expect(200).text_at("/device_token")
        });
        let known = json!({"email": "ada@example.com", "password": PASSWORD, "device_token": known});
        self.note("log in from a known device", |server| server.client().post("/v1/auth/login", &known).expect(200));
        let wrong = json!({"email": "ada@example.com", "password": "not the right one"});
        self.note("log in with a wrong password", |server| server.client().post("/v1/auth/login", &wrong).expect(401));
        let bearer = self.server.client().bearer(&session.access_token());
        self.note("me", |_| bearer.get("/v1/auth/me").expect(200));
        self.note("change the name", |_| bearer.patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200));
        let other = token::decode(&self.server.client().login("ada@example.com").access_token()).1["sid"].clone();
        let other = other.as_str().expect("an id").to_owned();
        self.note("list sessions", |_| bearer.get("/v1/auth/sessions?limit=1").expect(200));
        self.note("list sessions, next page", |_| {
            bearer.get(&format!("/v1/auth/sessions?limit=1&after={other}")).expect(200)
        });
        self.note("end another session", |_| bearer.delete(&format!("/v1/auth/sessions/{other}")).expect(204));
        let change = json!({"current_password": PASSWORD, "new_password": "another battery staple"});
        self.note("change the password", |_| bearer.post("/v1/auth/change-password", &change).expect(204));
        let presented = json!({"refresh_token": session.refresh_token()});
        self.note("log out", |server| server.client().post("/v1/auth/logout", &presented).expect(204));
        let session = self.server.client().register("eve@example.com");
        let bearer = self.server.client().bearer(&session.access_token());
        let gone = self.server.client().register("gone@example.com");
        let gone = self.server.client().bearer(&gone.access_token());
        self.note("export the account", |_| gone.get("/v1/auth/me/export").expect(200));
        let proof = json!({"password": PASSWORD});
        self.note("delete the account", |_| gone.delete_with("/v1/auth/me", &proof).expect(204));
        self.note("log out everywhere", |_| bearer.post("/v1/auth/logout", &json!({"all": true})).expect(204));
        self.api_keys();
    }

    fn api_keys(&mut self) {
        let session = self.server.client().register("kay@example.com");
        let bearer = &self.server.client().bearer(&session.access_token());
        let body = json!({"name": "backup", "scope": "account"});
        let made = self.note("make an API key", |_| bearer.post("/v1/auth/api-keys", &body).expect(201));
        let (id, key) = (made.text_at("/id"), made.text_at("/key"));
        make_key(bearer, "account");
        self.note("list API keys", |_| bearer.get("/v1/auth/api-keys?limit=1").expect(200));
        let next = format!("/v1/auth/api-keys?limit=1&after={id}");
        self.note("list API keys, next page", |_| bearer.get(&next).expect(200));
        let noted = |server: &Server, what: &str, count: f64| {
            let name = format!("signet_database_transaction_duration_seconds_count{{name=\"api_key.{what}\"}}");
            eventually(|| server.metric(&name) >= count);
        };
        self.note("present an API key for the first time", |server| {
            with_key(server, &key).get("/v1/auth/me").expect(200);
            noted(server, "note_use", 1.0);
        });
        self.note("present an API key", |server| with_key(server, &key).get("/v1/auth/me").expect(200));
        let exchanged = self.note("exchange an API key", |server| exchange(server, &key, &[]).expect(200));
        let exchanged = self.server.client().bearer(&exchanged.access_token());
        self.note("present what an API key was exchanged for", |_| exchanged.get("/v1/auth/me").expect(200));
        self.server.clock.advance(2 * DAY);
        let fresh = self.server.client().login("kay@example.com").access_token();
        let fresh = self.server.client().bearer(&fresh);
        self.note("present an API key after two days", |server| {
            with_key(server, &key).get("/v1/auth/me").expect(200);
            noted(server, "note_use", 2.0);
        });
        let wrong = with_another_secret(&key);
        self.note("present a wrong API key", |server| {
            with_key(server, &wrong).get("/v1/auth/me").expect(401);
            noted(server, "note_refusal", 1.0);
        });
        let path = format!("/v1/auth/api-keys/{id}");
        self.note("rotate an API key", |_| fresh.post_empty(&format!("{path}/rotate")).expect(200));
        self.note("revoke an API key", |_| fresh.delete(&path).expect(204));
        self.note("revoke all API keys", |_| fresh.delete("/v1/auth/api-keys").expect(204));
    }

    fn audit_and_webhooks(&mut self) {
        let client = self.server.client();
        let id = token::decode(&client.register("auditor@example.com").access_token()).1["sub"].clone();
        let id = id.as_str().expect("an id").to_owned();
        self.server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'auditor@example.com'");
        let admin = client.bearer(&client.login("auditor@example.com").access_token());
        let ask = |query: String| admin.get(&format!("/v1/admin/audit?{query}")).expect(200);
        self.note("the audit trail", |_| ask("limit=1".to_owned()));
        self.note("the audit trail of a user", |_| ask(format!("user={id}&after={id}")));
        self.note("the audit trail of an actor", |_| ask(format!("actor={id}&after={id}")));
        self.note("the audit trail by kind", |_| ask(format!("kind=user_registered&after={id}")));
        self.note("the audit trail by time", |_| ask("from=2026-11-21T10:00:00Z&to=2026-11-21T11:00:00Z".to_owned()));
        let seal = |server: &Server| {
            block_on(signet::audit::seal::once(&server.operators_db(), &Metrics::default())).expect("sealed")
        };
        seal(&self.server);
        client.login("auditor@example.com");
        self.note("seal the audit trail", seal);
        self.note("verify the audit trail", |server| {
            block_on(signet::audit::verify::verify(&server.operators_db(), &[])).expect("whole")
        });
        self.note("the feed of events", |_| admin.get("/v1/admin/events?after=1").expect(200));
        let made = json!({"url": "https://hooks.example/"});
        let made = self.note("make an endpoint", |_| admin.post("/v1/admin/webhooks", &made).expect(201));
        let path = format!("/v1/admin/webhooks/{}", made.text_at("/id"));
        self.note("list endpoints", |_| admin.get("/v1/admin/webhooks").expect(200));
        self.note("list what an endpoint was told", |_| admin.get(&format!("{path}/deliveries")).expect(200));
        self.note("disable an endpoint", |_| admin.patch(&path, &json!({"is_enabled": false})).expect(200));
        self.note("tell an endpoint again", |_| admin.post_empty(&format!("{path}/replay")).expect(202));
        self.note("delete an endpoint", |_| admin.delete(&path).expect(204));
    }

    fn second_factors(&mut self) {
        let session = self.server.client().register("mia@example.com");
        let bearer = self.server.client().bearer(&session.access_token());
        let enrolment = self.note("add a second factor", |_| bearer.post_empty("/v1/auth/mfa/totp").expect(200));
        let mut phone = Phone::scan(&enrolment);
        let code = json!({"code": phone.code(&self.server)});
        let confirmed = self.note("confirm it", |_| bearer.post("/v1/auth/mfa/totp/confirm", &code).expect(200));
        phone.recovery_codes = serde_json::from_value(confirmed.json()["recovery_codes"].clone()).expect("codes");
        self.note("second factors", |_| bearer.get("/v1/auth/mfa").expect(200));
        let client = self.server.client();
        let challenge = self.note("log in, first of two steps", |_| phone::first_step(&client, "mia@example.com"));
        let wrong = phone.wrong_code(&self.server);
        self.note("second step with a wrong code", |_| second_step(&client, &challenge, &wrong).expect(401));
        let code = phone.next_code(&self.server);
        self.note("second step", |_| second_step(&client, &challenge, &code).expect(200));
        let challenge = phone::first_step(&client, "mia@example.com");
        let code = phone.recovery_codes[0].clone();
        self.note("second step with a recovery code", |_| second_step(&client, &challenge, &code).expect(200));
        let both = json!({"password": PASSWORD, "code": phone.next_code(&self.server)});
        self.note("renew recovery codes", |_| bearer.post("/v1/auth/mfa/recovery-codes", &both).expect(200));
        let both = json!({"password": PASSWORD, "code": phone.next_code(&self.server)});
        self.note("remove a second factor", |_| bearer.post("/v1/auth/mfa/totp/remove", &both).expect(204));
    }

    fn administration(&mut self) {
        let root = admin::admin(&self.server).client;
        let user = json!({"email": "bea@example.com", "name": "Bea"});
        let once = root.with("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324");
        let created = self.note("open an account for somebody", |_| once.post("/v1/admin/users", &user).expect(201));
        self.note("the same again", |_| once.post("/v1/admin/users", &user).expect(201));
        for (first, next, query) in [
            ("find users", "find users, next page", ""),
            ("find users by address", "find users by address, next page", "email=e&"),
            ("find users by name", "find users by name, next page", "name=b&"),
            ("find administrators", "find administrators, next page", "role=admin&"),
        ] {
            let path = format!("/v1/admin/users?{query}limit=1");
            root.post("/v1/admin/users", &json!({"email": format!("extra{}@example.com", query.len()), "name": "Bob"}));
            admin::admin_called(&self.server, &format!("root{}@example.com", first.len()));
            let page = self.note(first, |_| root.get(&path).expect(200));
            let after = page.text_at("/next");
            self.note(next, |_| root.get(&format!("{path}&after={after}")).expect(200));
        }
        let path = format!("/v1/admin/users/{}", created.text_at("/id"));
        let at = |below: &str| format!("{path}{below}");
        self.note("show a user", |_| root.get(&path).expect(200));
        let change = json!({"name": "B", "email": "bea@example.org", "roles": ["author"]});
        self.note("change a user", |_| root.patch(&path, &change).expect(200));
        self.note("list sessions of a user", |_| root.get(&at("/sessions")).expect(200));
        self.note("end sessions of a user", |_| root.delete(&at("/sessions")).expect(200));
        self.note("force a reset", |_| root.post_empty(&at("/reset-password")).expect(200));
        let acting = self.note("act for a user", |_| root.post_empty(&at("/impersonate")).expect(200));
        let acting = self.server.client().bearer(&acting.access_token());
        self.note("me, of another", |_| acting.get("/v1/auth/me").expect(200));
        self.note("change the name of another", |_| acting.patch("/v1/auth/me", &json!({"name": "Bea"})).expect(200));
        let until = json!({"until": "2027-01-01T00:00:00Z"});
        self.note("disable a user for a time", |_| root.post(&at("/disable"), &until).expect(200));
        self.note("disable a user for good", |_| root.post_empty(&at("/disable")).expect(200));
        self.note("enable a user", |_| root.post_empty(&at("/enable")).expect(200));
        self.note("statistics", |_| root.get("/v1/admin/statistics").expect(200));
    }

    fn commands(&mut self) {
        let db = self.server.operators_db();
        let hasher = Hasher::start(&self.server.config.hashing, Metrics::default()).expect("threads");
        let email = || Email::parse("eve@example.com").expect("an address");
        let password = Password::parse("another battery staple").expect("a password");
        let eve = email();
        let subject = Subject { email: &eve, name: None, issuer: "http://localhost" };
        let new = NewPassword::accept(password, 8, &subject).expect("a good one");
        let roles = Roles::try_from(vec!["admin".to_owned()]).expect("a role");
        self.note("signet users set-role", |_| {
            block_on(administer::set_roles(&db, Actor::operator(), email(), roles)).expect("a user")
        });
        self.note("signet users disable", |_| {
            block_on(administer::disable(&db, Actor::operator(), email(), None)).expect("a user")
        });
        self.note("signet users enable", |_| {
            block_on(administer::enable(&db, Actor::operator(), email())).expect("a user")
        });
        self.note("signet users set-password", |_| {
            block_on(administer::set_password(&db, &hasher, Outbox::closed(), Actor::operator(), email(), &new))
                .expect("a user")
        });
        let gone = || Email::parse("gone@example.com").expect("an address");
        self.note("signet users restore", |_| {
            block_on(administer::restore(&db, Actor::operator(), gone())).expect("a deleted user")
        });
        self.note("signet users delete", |_| {
            block_on(administer::delete(&db, Outbox::closed(), Actor::operator(), gone(), DAY)).expect("a user")
        });
        let lines: &[u8] = b"{\"email\": \"new@example.com\"}\n{\"email\": \"eve@example.com\"}\n";
        let terms = Terms { nobodys_hash: hasher.nobodys_hash(), is_dry_run: false };
        let counts = self
            .note("signet users import", |_| block_on(import::import(&db, lines, &terms, |_| {})).expect("taken in"));
        assert_eq!((counts.imported, counts.there), (1, 1));
        self.note("signet users reset-mfa, without a factor", |_| {
            block_on(reset::of_user(&db, Outbox::closed(), Actor::operator(), email())).expect("a user")
        });
        self.server.client().register("bob@example.com");
        self.note("signet sessions end EMAIL", |_| {
            block_on(end::of_user(&db, Actor::operator(), email())).expect("a user")
        });
        let now = self.server.clock.now();
        let ended = self.note("signet sessions end --all", |_| block_on(end::of_everybody(&db, now)).expect("ended"));
        assert!(ended > 0, "the last page was reached from another");
    }

    fn clean_up(&mut self) {
        self.server.clock.advance(400 * DAY);
        let db = self.server.operators_db();
        let limits = Limits::at(self.server.clock.now(), &self.server.config);
        let removed = self.note("signet cleanup", |_| {
            block_on(async {
                let mut leader = db.lead(cleanup::LOCK).await.expect("reached").expect("nobody else is at it");
                cleanup::sweep(&mut leader, limits, &Metrics::default()).await.expect("sweeps")
            })
        });
        assert!(
            removed.of(Table::Sessions) > 0 && removed.of(Table::AuditEvents) > 0 && removed.of(Table::Users) > 0,
            "{removed:?}"
        );
        assert_eq!(
            (removed.of(Table::ApiKeys), removed.of(Table::ApiKeySources)),
            (2, 0),
            "their places went with them"
        );
        self.server.client().register("zoe@example.com");
    }

    /// Every entry with the plans of its statements.
    pub(super) fn plans(&self) -> String {
        let mut database = self.server.database();
        let entries = self.entries.iter().map(|(what, statements)| {
            let plans: Vec<String> = statements.iter().map(|statement| plan(&mut database, statement)).collect();
            format!("# {what}\n{}", plans.concat())
        });
        entries.collect::<Vec<_>>().join("\n")
    }
}

/// In one statement, as under load: both wait before the first is answered.
fn refresh_together(server: &Server, tokens: &[String]) {
    let app = App::build(server.config.clone(), server.clock.clone()).expect("builds");
    let tokens = tokens.iter().map(|token| RefreshToken::parse(token).expect("a token"));
    let refreshed = tokens.map(|token| refresh(&app, token, Conditions::default(), Origin::default()));
    assert!(block_on(join_all(refreshed)).iter().all(Result::is_ok));
}

/// Not BEGIN and COMMIT, and not what is asked of the server itself.
fn is_planned(statement: &str) -> bool {
    const OURS: [&str; 17] = [
        "users",
        "sessions",
        "audit_events",
        "throttles",
        "known_sources",
        "one_time_tokens",
        "email_changes",
        "invitations",
        "api_keys",
        "api_key_sources",
        "audit_seals",
        "webhook_endpoints",
        "webhook_deliveries",
        "totp_factors",
        "recovery_codes",
        "mfa_challenges",
        "idempotency_keys",
    ];
    let is_of_job = |column: &str| statement.contains(&column.replace('`', "\"")) || statement.contains(column);
    if ["`due_at` <= ", "`due_at` IS NOT NULL", "EXISTS (SELECT `webhook_endpoints`"].into_iter().any(is_of_job) {
        return false;
    }
    OURS.iter().any(|table| statement.contains(&format!("\"{table}\""))) || statement.contains('`')
}
