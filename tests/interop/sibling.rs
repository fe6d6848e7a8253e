//! What every sibling service owes its callers, whatever it is written in.

use super::{AUDIENCE, forgeries};
use crate::support::{Client, Server, json};

/// What a sibling service is told about us.
pub fn environment(issuer: &str) -> [(&'static str, String); 2] {
    [("SIGNET_ISSUER", issuer.to_owned()), ("SIGNET_AUDIENCE", AUDIENCE.to_owned())]
}

/// An address at which nobody listens.
pub fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// Lets in whom a genuine token names and nobody else.
#[track_caller]
pub fn lets_in_the_bearer_of_a_genuine_token_only(server: &Server, sibling: &str) {
    let sibling = Client::new(sibling);
    let session = server.client().register("ada@example.com");

    let known = sibling.bearer(&session.access_token()).get("/whoami").expect(200);
    assert_eq!(known.json(), json!({"user": session.json()["user"]["id"], "roles": ["user"]}));

    let nobody = sibling.get("/whoami").expect(401);
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    sibling.with("authorization", "Basic Og==").get("/whoami").expect(401);

    let mut refused = forgeries(server, &session.access_token());
    refused.push(("refresh token", session.refresh_token()));
    for (fault, token) in refused {
        let answer = sibling.bearer(&token).get("/whoami");
        assert_eq!(answer.status, 401, "{fault}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), r#"Bearer error="invalid_token""#, "{fault}");
    }
    sibling.bearer(&session.access_token()).get("/whoami").expect(200);
}

/// Decides by the roles in the token: a new role counts from the next refresh on.
#[track_caller]
pub fn lets_administrators_only_into_the_office(server: &Server, sibling: &str) {
    let sibling = Client::new(sibling);
    let user = server.client().register("grace@example.com");
    sibling.get("/admin").expect(401);
    sibling.bearer(&user.access_token()).get("/admin").expect(403);

    server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'grace@example.com'");
    let admin = server.client().refresh(&user.refresh_token()).expect(200);
    sibling.bearer(&user.access_token()).get("/admin").expect(403);
    let welcome = sibling.bearer(&admin.access_token()).get("/admin").expect(200);
    assert_eq!(welcome.json(), json!({"admin": user.json()["user"]["id"]}));
}

/// Does not blame the caller for what it cannot find out: clients throw a session away on 401.
#[track_caller]
pub fn does_not_blame_the_caller_when_the_keys_cannot_be_fetched(server: &Server, sibling: &str) {
    let session = server.client().register("mary@example.com");
    Client::new(sibling).bearer(&session.access_token()).get("/whoami").expect(503);
}
