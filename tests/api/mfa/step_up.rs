//! What a route demands of the log-in behind a token (RFC 9470).

use std::time::Duration;

use super::*;
use crate::api::admin::admin;
use crate::support::phone::log_in;
use crate::support::{json, on_both, token};

const QUARTER: Duration = Duration::from_secs(900);

on_both! {
    fn who_logged_in_long_ago_is_asked_to_log_in_again(backend) {
        let server = start(backend);
        let session = server.client().register("ada@example.com");
        server.clock.advance(QUARTER - Duration::from_secs(1));
        bearer(&server, &session).post_empty("/v1/auth/mfa/totp").expect(200);
        server.clock.advance(Duration::from_secs(2));
        // A new access token is as old as its log-in.
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        let me = bearer(&server, &refreshed);
        for answer in [me.post_empty("/v1/auth/mfa/totp"), me.post("/v1/auth/mfa/totp/confirm", &json!({"code": "123456"}))] {
            let refused = answer.expect_problem(401, "insufficient_user_authentication");
            let challenge = "Bearer realm=\"signet\", error=\"insufficient_user_authentication\", max_age=\"900\"";
            assert_eq!(refused.header("www-authenticate"), challenge);
        }
        // Whatever demands nothing goes on.
        me.get("/v1/auth/me").expect(200);
        me.get("/v1/auth/mfa").expect(200);
        assert_eq!(server.count("totp_factors"), 1);
        bearer(&server, &server.client().login("ada@example.com")).post_empty("/v1/auth/mfa/totp").expect(200);
    }

    fn how_old_a_log_in_may_be_is_configured(backend) {
        for (max_age, status) in [(Duration::ZERO, 200), (Duration::from_secs(60), 401), (Duration::from_secs(7200), 200)] {
            let server = Server::start_with(backend, |config| {
                phone::switch_on(config);
                config.step_up.max_age.0 = max_age;
            });
            let session = server.client().register("ada@example.com");
            server.clock.advance(Duration::from_secs(3600));
            let me = bearer(&server, &server.client().refresh(&session.refresh_token()).expect(200));
            assert_eq!(me.post_empty("/v1/auth/mfa/totp").status, status, "{max_age:?}");
        }
    }

    fn a_token_that_is_none_is_not_told_what_is_demanded(backend) {
        let server = start(backend);
        server.client().post_empty("/v1/auth/mfa/totp").expect_problem(401, "invalid_token");
        let junk = server.client().bearer("junk").post_empty("/v1/auth/mfa/totp").expect_problem(401, "invalid_token");
        assert_eq!(junk.header("www-authenticate"), "Bearer realm=\"signet\", error=\"invalid_token\"");
    }

    fn pages_of_allowed_origins_can_read_the_challenge(backend) {
        let server = Server::start_with(backend, |config| {
            phone::switch_on(config);
            config.public.allowed_origins = vec!["https://app.example".to_owned()];
        });
        let session = server.client().register("ada@example.com");
        server.clock.advance(QUARTER * 2);
        let me = bearer(&server, &server.client().refresh(&session.refresh_token()).expect(200)).with("origin", "https://app.example");
        let refused = me.post_empty("/v1/auth/mfa/totp").expect_problem(401, "insufficient_user_authentication");
        let exposed = refused.header("access-control-expose-headers").to_ascii_lowercase();
        assert!(exposed.contains("www-authenticate"), "{exposed}");
    }

    fn the_enrolling_session_stays_what_it_was(backend) {
        let server = start(backend);
        let (session, phone) = with_phone(&server);
        let refreshed = server.client().refresh(&session.refresh_token()).expect(200);
        let claims = token::decode(&refreshed.access_token()).1;
        assert_eq!((&claims["amr"], claims.get("acr")), (&json!(["pwd"]), None));
        let strong = log_in(&server, &server.client(), "ada@example.com", &phone);
        assert_eq!(token::decode(&strong.access_token()).1["acr"], "urn:signet:acr:mfa");
    }

    fn where_it_is_demanded_administrators_show_a_second_factor(backend) {
        for is_demanded in [false, true] {
            let server = Server::start_with(backend, |config| {
                phone::switch_on(config);
                config.step_up.demand_mfa_for_admins = is_demanded;
            });
            let root = admin(&server);
            let answer = root.client.get("/v1/admin/users");
            if !is_demanded {
                answer.expect(200);
                continue;
            }
            let refused = answer.expect_problem(401, "insufficient_user_authentication");
            let challenge = refused.header("www-authenticate").to_owned();
            assert!(challenge.contains("acr_values=\"urn:signet:acr:mfa\""), "{challenge}");
            root.client.delete(&format!("/v1/admin/users/{}", root.id)).expect(401);
            let phone = Phone::add(&server, &root.client);
            let strong = log_in(&server, &server.client(), "root@example.com", &phone);
            bearer(&server, &strong).get("/v1/admin/users").expect(200);
        }
    }
}
