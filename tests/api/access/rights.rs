//! Roles carry scopes: what a session may do is what was granted to it, as far as its user's roles carry it now.

use crate::support::{Answer, Backend, PASSWORD, Server, json, on_both, token};

const EMAIL: &str = "ada@example.com";

fn with_roles(backend: Backend) -> Server {
    Server::start_with(backend, |config| {
        config.oauth.password_grant = true;
        config.oauth.scope = "".parse().expect("a scope");
        for (role, scope) in [("user", "read"), ("member", "account read"), ("editor", "account read write")] {
            config.roles.0.insert(role.to_owned(), scope.parse().expect("a scope"));
        }
    })
}

/// What the answer says, and its token with the same words.
#[track_caller]
fn scope(answer: &Answer) -> String {
    let said = answer.text_at("/scope");
    assert_eq!(token::decode(&answer.access_token()).1["scope"], json!(said));
    said
}

on_both! {
    fn a_role_that_is_given_takes_effect_with_the_next_login(backend) {
        let server = Server::start(backend);
        let session = server.client().register(EMAIL);
        assert_eq!(scope(&session), "account");
        server.set_roles(EMAIL, "admin user");
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(scope(&refreshed), "account", "a session never gains");
        assert_eq!(token::decode(&refreshed.access_token()).1["roles"], json!(["admin", "user"]));
        assert_eq!(scope(&server.client().login(EMAIL)), "account admin");
    }

    fn a_role_that_is_taken_away_is_gone_here_at_once_and_elsewhere_with_the_next_refresh(backend) {
        let server = with_roles(backend);
        server.client().register(EMAIL);
        server.set_roles(EMAIL, "editor");
        let session = server.client().login(EMAIL);
        assert_eq!(scope(&session), "account read write");
        let client = server.client().bearer(&session.access_token());
        client.get("/v1/auth/me").expect(200);

        server.set_roles(EMAIL, "user");
        let refused = client.get("/v1/auth/me").expect_problem(403, "forbidden");
        assert!(refused.header("www-authenticate").contains(r#"error="insufficient_scope", scope="account""#));
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(scope(&refreshed), "read");

        // The session still has what it was granted: it is the role that decides.
        server.set_roles(EMAIL, "member");
        client.get("/v1/auth/me").expect(200);
        let again = server.client().refresh(&refreshed.refresh_token()).expect(200);
        assert_eq!(scope(&again), "account read");
    }

    fn a_refresh_may_ask_for_what_the_roles_still_carry_and_no_more(backend) {
        let server = with_roles(backend);
        server.client().register(EMAIL);
        server.set_roles(EMAIL, "editor");
        let token = server.client().login(EMAIL).refresh_token();
        server.set_roles(EMAIL, "member");
        let ask = |scope: &str| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", &token), ("scope", scope)];
            server.client().form("/oauth2/token", &fields)
        };
        ask("write").expect_oauth(400, "invalid_scope");
        ask("read write").expect_oauth(400, "invalid_scope");
        assert_eq!(scope(&ask("read").expect(200)), "read");
    }

    fn somebody_who_asks_for_more_than_their_roles_carry_is_told_what_they_got(backend) {
        let server = with_roles(backend);
        server.client().register(EMAIL);
        let ask = |scope: &str| {
            let fields = [("grant_type", "password"), ("username", EMAIL), ("password", PASSWORD), ("scope", scope)];
            server.client().form("/oauth2/token", &fields)
        };
        let answer = ask("read write admin").expect(200);
        assert_eq!(scope(&answer), "read");
        let refreshed = server.client().refresh(&answer.refresh_token()).expect(200);
        assert_eq!(scope(&refreshed), "read");
        server.set_roles(EMAIL, "editor");
        let later = server.client().refresh(&refreshed.refresh_token()).expect(200);
        assert_eq!(scope(&later), "read", "what was not granted does not come with a role");
        ask("read unknown").expect_oauth(400, "invalid_scope");
    }
}

#[test]
fn the_metadata_name_every_scope_that_a_role_carries() {
    let server = with_roles(Backend::Sqlite);
    let metadata = server.client().get("/.well-known/oauth-authorization-server").expect(200).json();
    assert_eq!(metadata["scopes_supported"], json!(["account", "admin", "read", "write"]));
}
