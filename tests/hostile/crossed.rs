//! Every kind of token at every place that takes one: each opens its own, and nothing else, whatever prefix it is given.

use crate::api::admin::admin;
use crate::api::api_key::{exchange, make_key};
use crate::support::mailbox::{self, Mailbox};
use crate::support::phone::{self, Phone, first_step, second_step};
use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both};

const NEW: &str = "a wholly other phrase";
/// Every prefix that one of ours begins with.
const PREFIXES: [&str; 10] = ["sgv_", "sgp_", "sgo_", "sgn_", "sgu_", "sgi_", "sgm_", "sgr_", "sgk_", "sgd_"];

/// Where tokens are taken, and what for.
const PLACES: [(&str, &[&str]); 12] = [
    ("verify-email", &["verify"]),
    ("reset-password", &["reset"]),
    ("change-email/confirm", &["confirm"]),
    ("restore", &["restore"]),
    ("register", &["invitation"]),
    ("login/mfa", &["challenge"]),
    ("refresh", &["refresh"]),
    ("logout", &["refresh"]),
    ("refresh grant", &["refresh"]),
    ("exchange", &["key"]),
    ("as a key", &["key"]),
    ("bearer", &["access", "key"]),
];

fn present(server: &Server, place: &str, token: &str) -> Answer {
    let client = server.client();
    let post = |body| client.post(&format!("/v1/auth/{place}"), &body);
    match place {
        "verify-email" | "change-email/confirm" | "restore" => post(json!({"token": token})),
        "reset-password" => post(json!({"token": token, "new_password": NEW})),
        "register" => post(json!({"email": "guest@example.com", "password": PASSWORD, "invitation": token})),
        // A code that is none: what is refused, is refused for the token. (For its own token, see below.)
        "login/mfa" => second_step(&client, token, "123456"),
        "refresh" | "logout" => post(json!({"refresh_token": token})),
        "refresh grant" => client.form("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]),
        "exchange" => exchange(server, token, &[]),
        "as a key" => client.with("x-api-key", token).get("/v1/auth/me"),
        "bearer" => client.bearer(token).get("/v1/auth/me"),
        _ => panic!("{place}"),
    }
}

/// One of each kind. What voids others is somebody else's: Ada has most, Rex resets, Zoe has deleted her account, Max has a
/// factor.
fn holdings(server: &Server) -> (Vec<(&'static str, String)>, Phone) {
    let mailbox = Mailbox::of(server);
    let root = admin(server);
    let [ada, _, zoe, max] =
        ["ada", "rex", "zoe", "max"].map(|name| server.client().register(&format!("{name}@example.com")));
    let verify = mailbox.newest_of("ada@example.com", "verify_email").token();
    server.execute("UPDATE users SET is_verified = true WHERE email_key = 'ada@example.com'");
    let me = server.client().bearer(&ada.access_token());
    me.post("/v1/auth/change-email", &json!({"new_email": "new@example.com", "password": PASSWORD})).expect(202);
    server.client().post("/v1/auth/forgot-password", &json!({"email": "rex@example.com"})).expect(202);
    let zoe = server.client().bearer(&zoe.access_token());
    zoe.delete_with("/v1/auth/me", &json!({"password": PASSWORD})).expect(204);
    let phone = Phone::add(server, &server.client().bearer(&max.access_token()));
    let deleted = mailbox.newest_of("zoe@example.com", "account_deleted").text;
    root.client.post("/v1/admin/invitations", &json!({"email": "guest@example.com"})).expect(200);
    let held = vec![
        ("verify", verify),
        ("reset", mailbox.newest_of("rex@example.com", "reset_password").token()),
        ("confirm", mailbox.newest_of("ada@example.com", "confirm_old_address").token()),
        ("confirm", mailbox.newest_of("new@example.com", "confirm_new_address").token()),
        ("restore", mailbox::find_token(&deleted).expect("a token")),
        ("invitation", mailbox.newest_of("guest@example.com", "invitation").token()),
        ("challenge", first_step(&server.client(), "max@example.com")),
        ("refresh", ada.refresh_token()),
        ("key", make_key(&me, "account").text_at("/key")),
        ("access", ada.access_token()),
    ];
    (held, phone)
}

on_both! {
    fn each_token_opens_its_own_and_nothing_else(backend) {
        let server = Server::start_with(backend, |config| {
            mailbox::into_folder(config);
            phone::switch_on(config);
            config.throttle.enabled = false;
        });
        let (held, phone) = holdings(&server);
        let live = || server.count("sessions WHERE revoked_at IS NULL");
        let before = live();
        let mut tried = 0;
        for (kind, token) in &held {
            let rest = &token[4..];
            let variants = PREFIXES.iter().map(|prefix| format!("{prefix}{rest}")).chain([token.clone()]);
            for variant in variants {
                for (place, own) in PLACES {
                    if variant == *token && own.contains(kind) {
                        continue;
                    }
                    let answer = present(&server, place, &variant);
                    // What is no session's is no session that could be alive: to end it is a success.
                    let is_refused = [400, 401, 403].contains(&answer.status) || (place, answer.status) == ("logout", 204);
                    assert!(is_refused, "{kind} as {} at {place}: {} {}", &variant[..4], answer.status, answer.text);
                    tried += 1;
                }
            }
        }
        assert!(tried > 1_200, "{tried}");
        assert_eq!(live(), before, "none was opened, and none ended");
        // And no harm has come to any of them.
        for (kind, token) in &held {
            match *kind {
                "challenge" => drop(second_step(&server.client(), token, &phone.next_code(&server)).expect(200)),
                kind => {
                    let (place, _) = PLACES.iter().find(|(_, own)| own.contains(&kind)).expect("a place of its own");
                    let answer = present(&server, place, token);
                    assert!((200..300).contains(&answer.status), "{kind} at {place}: {} {}", answer.status, answer.text);
                }
            }
        }
    }
}
