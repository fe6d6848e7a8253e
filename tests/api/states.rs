//! Every way in × every state that an account can be in: what its owner's password and tokens are good for then.

use std::time::Duration;

use signet::account::administer;
use signet::account::email::Email;
use signet::audit::Actor;
use signet::clock::Timestamp;
use signet::config::{Period, Registration};

use crate::api::api_key::{exchange, make_key, with_key};
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{self, Phone};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, block_on, json, on_both};

/// The states, in the order of the columns below. `factor`: with a second factor, added in the session whose tokens the owner
/// holds. `gone`: deleted, with no time to think again.
const STATES: [&str; 6] = ["active", "unverified", "factor", "disabled", "deleted", "gone"];

/// Each way in, and the status for each state, where addresses are to be verified.
const ANSWERS: &[(&str, [u16; 6])] = &[
    // With a second factor the answer is a challenge, and the grant has no second step.
    ("login", [200, 401, 401, 401, 401, 401]),
    ("password grant", [200, 400, 400, 400, 400, 400]),
    ("refresh", [200, 200, 200, 401, 401, 401]),
    ("refresh grant", [200, 200, 200, 400, 400, 400]),
    ("me", [200, 200, 200, 401, 401, 401]),
    ("rename", [200, 200, 200, 401, 401, 401]),
    ("sessions", [200, 200, 200, 401, 401, 401]),
    ("export", [200, 200, 200, 401, 401, 401]),
    ("change-password", [204, 204, 204, 401, 401, 401]),
    ("change-email", [202, 202, 202, 401, 401, 401]),
    ("delete", [204, 204, 204, 401, 401, 401]),
    ("API key", [200, 200, 200, 401, 401, 401]),
    ("exchange", [200, 200, 200, 400, 400, 400]),
    // What came by mail before.
    ("reset-password", [204, 204, 204, 400, 400, 400]),
    ("verify-email", [204, 204, 204, 400, 400, 400]),
    ("confirm the old address", [200, 200, 200, 400, 400, 400]),
    ("confirm the new address", [200, 200, 200, 400, 400, 400]),
    // Nobody is told anything.
    ("forgot-password", [202; 6]),
    ("resend", [202; 6]),
    ("register", [202; 6]),
    ("restore", [400, 400, 400, 400, 204, 400]),
];

/// An account in one state, and all that its owner holds.
struct World {
    server: Server,
    client: Client,
    me: Client,
    refresh_token: String,
    key: String,
    reset: String,
    verify: String,
    old: String,
    new: String,
    restore: String,
}

const EMAIL: &str = "ada@example.com";

fn world(backend: Backend, state: &str) -> World {
    let mut world = active(backend, state == "gone");
    if let Some(token) = enter(&world.server, &world.me, state) {
        world.restore = token;
    }
    world
}

/// The account in the first of the states.
fn active(backend: Backend, goes_at_once: bool) -> World {
    let server = Server::start_with(backend, |config| {
        mailbox::into_folder(config);
        phone::switch_on(config);
        config.registration = Registration::Verified;
        config.oauth.password_grant = true;
        if goes_at_once {
            config.account.deletion_grace = Period(Duration::ZERO);
        }
    });
    let client = server.client();
    client.post("/v1/auth/register", &json!({"email": EMAIL, "password": PASSWORD})).expect(202);
    let mailbox = Mailbox::of(&server);
    let verify = mailbox.newest_of(EMAIL, "verify_email").token();
    // Behind the service's back, so that the token is still good.
    server.execute("UPDATE users SET is_verified = TRUE");
    let session = client.login(EMAIL);
    let me = client.bearer(&session.access_token());
    me.post("/v1/auth/change-email", &json!({"new_email": "new@example.com", "password": PASSWORD})).expect(202);
    client.post("/v1/auth/forgot-password", &json!({"email": EMAIL})).expect(202);
    let reset = mailbox.newest_of(EMAIL, "reset_password").token();
    let old = mailbox.newest_of(EMAIL, "confirm_old_address").token();
    let new = mailbox.newest_of("new@example.com", "confirm_new_address").token();
    let key = make_key(&me, "account").text_at("/key");
    let restore = "sgu_unknown".to_owned();
    World { client, me, key, refresh_token: session.refresh_token(), reset, verify, old, new, restore, server }
}

/// Brings the account into a state; the token that came with it.
fn enter(server: &Server, me: &Client, state: &str) -> Option<String> {
    match state {
        "active" => {}
        "factor" => drop(Phone::add(server, me)),
        "unverified" => drop(server.execute("UPDATE users SET is_verified = FALSE")),
        "disabled" => disable(server, None),
        "deleted" | "gone" => {
            me.delete_with("/v1/auth/me", &json!({"password": PASSWORD})).expect(204);
            return mailbox::find_token(&Mailbox::of(server).newest_of(EMAIL, "account_deleted").text);
        }
        _ => panic!("{state}"),
    }
    None
}

/// Disables the account as an operator does.
fn disable(server: &Server, until: Option<Timestamp>) {
    let email = Email::parse(EMAIL).expect("an address");
    block_on(administer::disable(&server.operators_db(), Actor::operator(), email, until)).expect("a user");
}

fn call(world: &World, way: &str) -> Answer {
    let World { client, me, .. } = world;
    let post = |path: &str, body| client.post(path, &body);
    match way {
        "login" => post("/v1/auth/login", json!({"email": EMAIL, "password": PASSWORD})),
        "password grant" => {
            client.form("/oauth2/token", &[("grant_type", "password"), ("username", EMAIL), ("password", PASSWORD)])
        }
        "refresh" => client.refresh(&world.refresh_token),
        "refresh grant" => {
            client.form("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", &world.refresh_token)])
        }
        "API key" => with_key(&world.server, &world.key).get("/v1/auth/me"),
        "exchange" => exchange(&world.server, &world.key, &[]),
        "me" => me.get("/v1/auth/me"),
        "rename" => me.patch("/v1/auth/me", &json!({"name": "New"})),
        "sessions" => me.get("/v1/auth/sessions"),
        "export" => me.get("/v1/auth/me/export"),
        "change-password" => {
            let body = json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"});
            me.post("/v1/auth/change-password", &body)
        }
        "change-email" => {
            me.post("/v1/auth/change-email", &json!({"new_email": "third@example.com", "password": PASSWORD}))
        }
        "delete" => me.delete_with("/v1/auth/me", &json!({"password": PASSWORD})),
        "reset-password" => {
            post("/v1/auth/reset-password", json!({"token": world.reset, "new_password": "a wholly other phrase"}))
        }
        "verify-email" => post("/v1/auth/verify-email", json!({"token": world.verify})),
        "confirm the old address" => post("/v1/auth/change-email/confirm", json!({"token": world.old})),
        "confirm the new address" => post("/v1/auth/change-email/confirm", json!({"token": world.new})),
        "restore" => post("/v1/auth/restore", json!({"token": world.restore})),
        "forgot-password" => post("/v1/auth/forgot-password", json!({"email": EMAIL})),
        "resend" => post("/v1/auth/verify-email/resend", json!({"email": EMAIL})),
        "register" => post("/v1/auth/register", json!({"email": EMAIL, "password": PASSWORD})),
        _ => panic!("{way}"),
    }
}

on_both! {
    fn each_way_in_gets_the_answer_that_is_written_down(backend) {
        let mut wrong = Vec::new();
        for (column, state) in STATES.iter().enumerate() {
            // Whoever is let in changes things; of those who are not, all that they try leaves the account as it is.
            let one = (column > 2).then(|| world(backend, state));
            for (way, statuses) in ANSWERS {
                let own = one.is_none().then(|| world(backend, state));
                let world = one.as_ref().or(own.as_ref()).expect("one of the two");
                let got = call(world, way).status;
                if got != statuses[column] {
                    wrong.push(format!("{way} of an account that is {state}: {got} instead of {}", statuses[column]));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn nobody_who_is_refused_learns_why_or_opens_a_session(backend) {
        let mut answers = Vec::new();
        for state in ["unverified", "disabled", "deleted", "gone"] {
            let world = world(backend, state);
            let before = world.server.count("sessions");
            let hashed = world.server.metric("signet_hash_duration_seconds_count");
            let mails = Mailbox::of(&world.server).count(EMAIL);
            let mut answer = call(&world, "login").json();
            answer["request_id"] = json!(null);
            let grant = call(&world, "password grant").text;
            // Wrong and right cost the same one hash each.
            assert_eq!(world.server.metric("signet_hash_duration_seconds_count") - hashed, 2.0, "{state}");
            assert_eq!(world.server.count("sessions"), before, "{state}");
            if state != "unverified" {
                world.server.clock.advance(Duration::from_secs(120));
                call(&world, "forgot-password");
                call(&world, "resend");
                assert_eq!(Mailbox::of(&world.server).count(EMAIL), mails, "{state}");
            }
            answers.push((answer, grant));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    }

    fn a_log_in_that_waits_for_its_code_sees_the_account_as_it_is_now(backend) {
        for (state, status) in [("active", 200), ("unverified", 401), ("disabled", 401), ("deleted", 401), ("gone", 401)] {
            let world = active(backend, state == "gone");
            let phone = Phone::add(&world.server, &world.me);
            let challenge = phone::first_step(&world.client, EMAIL);
            enter(&world.server, &world.me, state);
            let sessions = || world.server.count("sessions WHERE revoked_at IS NULL");
            let before = sessions();
            let code = phone.next_code(&world.server);
            let mut answers = vec![phone::second_step(&world.client, &challenge, &code)];
            if status != 200 {
                answers.push(phone::second_step(&world.client, &challenge, &phone.recovery_codes[0]));
                assert_eq!(sessions(), before, "{state}");
            }
            for answer in answers {
                let code = (status != 200).then(|| answer.text_at("/code"));
                assert_eq!((answer.status, code.as_deref()), (status, (status == 401).then_some("invalid_mfa_code")), "{state}");
            }
        }
    }

    fn who_was_disabled_for_a_time_logs_in_with_both_factors_when_it_is_over(backend) {
        let world = active(backend, false);
        let phone = Phone::add(&world.server, &world.me);
        let until = world.server.clock.now() + Duration::from_secs(3600);
        disable(&world.server, Some(until));
        call(&world, "login").expect_problem(401, "invalid_credentials");
        world.server.clock.advance(Duration::from_secs(3601));
        phone::log_in(&world.server, &world.client, EMAIL, &phone);
        assert_eq!(world.server.audited("user_enabled"), 1, "the trail says that it is over");
    }
}
