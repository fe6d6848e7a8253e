//! `POST /v1/admin/users/{id}/impersonate`, and what can be done with what it answers.

use std::time::Duration;

use super::{Admin, admin, admin_called, bare, log_in_with, sid, start, start_with, trail, user_id};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both, token};

const MINUTE: Duration = Duration::from_secs(60);

/// A user, and an administrator who acts for them.
struct World {
    server: Server,
    root: Admin,
    user: Answer,
    /// The answer that carries the token.
    begun: Answer,
    acting: Client,
}

fn world(backend: Backend) -> World {
    world_of(start(backend))
}

fn world_of(server: Server) -> World {
    let root = admin(&server);
    let user = server.client().register("ada@example.com");
    // Ids sort by the time at which they were made.
    server.clock.advance(Duration::from_millis(1));
    let begun = root.client.post_empty(&format!("/v1/admin/users/{}/impersonate", user_id(&user))).expect(200);
    let acting = server.client().bearer(&begun.access_token());
    World { server, root, user, begun, acting }
}

on_both! {
    fn the_token_names_both_and_cannot_be_refreshed(backend) {
        let World { server, root, user, begun, acting } = world(backend);
        let claims = token::decode(&begun.access_token()).1;
        assert_eq!(claims["sub"].as_str(), Some(user_id(&user).as_str()));
        assert_eq!(claims["act"], json!({"sub": root.id}));
        assert_eq!((&claims["roles"], &claims["amr"]), (&json!(["user"]), &json!(["impersonation"])));
        assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(900));
        assert_eq!(begun.json()["session_id"], claims["sid"]);
        assert_eq!((begun.json()["refresh_token"].clone(), begun.header("cache-control")), (json!(null), "no-store"));
        assert!(token::decode(&user.access_token()).1.get("act").is_none());
        assert_eq!(acting.get("/v1/auth/me").expect(200).json()["id"], begun.json()["user"]["id"]);
        let listed = server.client().bearer(&user.access_token()).get("/v1/auth/sessions").expect(200).json();
        assert_eq!(listed["sessions"][0]["actor"].as_str(), Some(root.id.as_str()), "the user sees it: {listed}");
        assert!(listed["sessions"][1].get("actor").is_none());
        let (actor, subject, detail) = trail(&server, "user_impersonated").pop().expect("an event");
        assert_eq!((actor, subject), (bare(&root.id), bare(&user_id(&user))));
        assert_eq!(detail["by_session"].as_str(), Some(sid(&root.session).as_str()));
    }

    fn what_is_done_is_written_down_as_the_administrators(backend) {
        let World { server, root, user, acting, .. } = world(backend);
        acting.patch("/v1/auth/me", &json!({"name": "Changed"})).expect(200);
        acting.delete(&format!("/v1/auth/sessions/{}", sid(&user))).expect(204);
        acting.post_empty("/v1/auth/logout").expect(204);
        acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
        for kind in ["user_updated", "session_revoked", "authn_logout"] {
            let (actor, subject, _) = trail(&server, kind).pop().expect(kind);
            assert_eq!((actor, subject), (bare(&root.id), bare(&user_id(&user))), "{kind}");
        }
        server.clock.advance(Duration::from_millis(1));
        let own = server.client().login("ada@example.com");
        server.client().bearer(&own.access_token()).patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        assert_eq!(trail(&server, "user_updated").pop().expect("an event").0, bare(&user_id(&user)), "their own doing");
    }

    fn nobody_gets_at_what_the_user_gets_in_with(backend) {
        let World { server, acting, .. } = world(backend);
        let change = json!({"current_password": PASSWORD, "new_password": "another battery staple"});
        acting.post("/v1/auth/change-password", &change).expect_problem(403, "forbidden");
        let change = json!({"new_email": "mine@example.com", "password": PASSWORD});
        acting.post("/v1/auth/change-email", &change).expect_problem(403, "forbidden");
        acting.get("/v1/admin/users").expect_problem(403, "forbidden");
        log_in_with(&server, "ada@example.com", PASSWORD).expect(200);
    }

    fn it_ends_after_a_quarter_of_an_hour(backend) {
        let server = start_with(backend, |config| config.token.access_ttl = signet::config::Period(60 * MINUTE));
        let World { server, acting, begun, .. } = world_of(server);
        assert_eq!(begun.json()["expires_in"], 900, "shorter than other tokens");
        let claims = token::decode(&begun.access_token()).1;
        assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|iat| iat + 900), "wherever it is verified");
        server.clock.advance(15 * MINUTE - Duration::from_secs(1));
        acting.get("/v1/auth/me").expect(200);
        server.clock.advance(Duration::from_secs(1));
        acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn it_ends_with_the_session_that_began_it(backend) {
        let World { server: _server, root, acting, .. } = world(backend);
        root.client.post_empty("/v1/auth/logout").expect(204);
        acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn it_ends_with_the_administrators_rights(backend) {
        for body in [Some(json!({"roles": ["user"]})), None] {
            let World { server, root, acting, .. } = world(backend);
            let other = admin_called(&server, "other@example.com");
            let path = format!("/v1/admin/users/{}", root.id);
            match body {
                Some(body) => other.client.patch(&path, &body).expect(200),
                None => other.client.post_empty(&format!("{path}/disable")).expect(200),
            };
            acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
    }

    fn it_ends_when_the_user_is_disabled_or_becomes_an_administrator(backend) {
        let World { server: _server, root, acting, user, .. } = world(backend);
        let path = format!("/v1/admin/users/{}", user_id(&user));
        root.client.patch(&path, &json!({"roles": ["admin"]})).expect(200);
        acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
        acting.get("/v1/admin/users").expect_problem(401, "invalid_token");
        let World { server: _server, root, acting, user, .. } = world(backend);
        root.client.post_empty(&format!("/v1/admin/users/{}/disable", user_id(&user))).expect(200);
        acting.get("/v1/auth/me").expect_problem(401, "invalid_token");
    }

    fn nobody_acts_for_an_administrator_or_for_who_is_not_there(backend) {
        let World { server, root, .. } = world(backend);
        let other = admin_called(&server, "other@example.com");
        for id in [&other.id, &root.id] {
            root.client.post_empty(&format!("/v1/admin/users/{id}/impersonate")).expect_problem(403, "forbidden");
        }
        let eve = user_id(&server.client().register("eve@example.com"));
        root.client.post_empty(&format!("/v1/admin/users/{eve}/disable")).expect(200);
        root.client.post_empty(&format!("/v1/admin/users/{eve}/impersonate")).expect_problem(409, "user_disabled");
        assert_eq!(server.audited("user_impersonated"), 1);
    }

    fn it_can_be_switched_off(backend) {
        let server = start_with(backend, |config| {
            config.session.impersonation_ttl = signet::config::Period(Duration::ZERO);
        });
        let root = admin(&server);
        let id = user_id(&server.client().register("ada@example.com"));
        root.client.post_empty(&format!("/v1/admin/users/{id}/impersonate")).expect_problem(403, "forbidden");
        assert_eq!(server.audited("user_impersonated"), 0);
    }
}
