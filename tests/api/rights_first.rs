//! Who may not call a route learns nothing of what it makes of a request: rights are judged before anything else is read.

use signet::routes::{Caller, PUBLIC, Route};

use crate::support::{Answer, Backend, Client, PASSWORD, Server, json, on_both};

/// A call of `route` that is wrong in every way: ids that are none, a query that nobody knows, a body that is cut off.
fn call_wrongly(client: &Client, route: &Route) -> Answer {
    let path: Vec<&str> =
        route.path.split('/').map(|part| if part.starts_with('{') { "not-an-id" } else { part }).collect();
    let path = format!("{}?limit=none&nonsense=1", path.join("/"));
    client.send(route.method.as_str(), &path, Some("application/json"), b"{\"email\": ")
}

fn of<'r>(callers: &'r [Caller]) -> impl Iterator<Item = &'static Route> + 'r {
    PUBLIC.iter().filter(|route| callers.contains(&route.caller))
}

const WITH_A_TOKEN: [Caller; 4] = [Caller::Account, Caller::AccountOrActor, Caller::AccountOrKey, Caller::Admin];

on_both! {
    fn whoever_is_not_signed_in_is_told_that_and_nothing_else(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.client().bearer(&session.access_token()).post("/v1/auth/logout", &json!({"all": true})).expect(204);
        let logged_out = server.client().bearer(&session.access_token());
        for route in of(&WITH_A_TOKEN) {
            call_wrongly(&server.client(), route).expect_problem(401, "invalid_token");
            call_wrongly(&logged_out, route).expect_problem(401, "invalid_token");
        }
    }

    fn whoever_is_no_administrator_is_told_that_and_nothing_else(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let user = server.client().bearer(&session.access_token());
        for route in of(&[Caller::Admin]) {
            call_wrongly(&user, route).expect_problem(403, "forbidden");
        }
    }

    fn whoever_must_log_in_again_first_is_told_that_and_nothing_else(backend) {
        let server = Server::start_with(backend, crate::support::phone::switch_on);
        server.client().register("ada@example.com");
        let session = server.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": PASSWORD})).expect(200);
        server.clock.advance(std::time::Duration::from_secs(3600));
        let session = server.client().refresh(&session.refresh_token()).expect(200);
        let stale = server.client().bearer(&session.access_token());
        stale.send("POST", "/v1/auth/mfa/totp", Some("application/json"), b"{").expect_problem(401, "insufficient_user_authentication");
    }
}
