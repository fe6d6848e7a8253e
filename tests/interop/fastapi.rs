//! A FastAPI service whose users log in here, through `OAuth2PasswordBearer`.

use super::process::Serving;
use super::{PAGES, install, service, sibling};
use crate::support::{Answer, Backend, Client, PASSWORD, Server, json};

/// The service that the README shows; `None` without Python.
fn start(issuer: &str) -> Option<Serving> {
    let mut python = install::python()?;
    python.args(["-m", "uvicorn", "fastapi_app:app", "--port", "0"]).envs(sibling::environment(issuer));
    Some(Serving::start(&mut python))
}

/// What the "Authorize" dialog of its documentation sends, to where the service says.
fn authorize(server: &Server, fastapi: &Client, authorization: Option<&str>) -> Answer {
    let flow = "/components/securitySchemes/OAuth2PasswordBearer/flows/password/tokenUrl";
    let url = fastapi.get("/openapi.json").expect(200).text_at(flow);
    assert_eq!(url, format!("{}/oauth2/token", server.url));
    let mut client = Client::new(&url).with("origin", PAGES).with("x-requested-with", "XMLHttpRequest");
    if let Some(authorization) = authorization {
        client = client.with("authorization", authorization);
    }
    let username = ("username", "ada@example.com");
    client.form("", &[("grant_type", "password"), username, ("password", PASSWORD), ("scope", "")])
}

#[test]
fn a_user_logs_in_here_and_is_known_to_a_fastapi_service() {
    let server = service(Backend::Sqlite);
    let Some(app) = start(&server.url) else { return };
    let fastapi = Client::new(&app.url);
    let user = server.client().register("ada@example.com").json()["user"]["id"].clone();
    // Without client id and secret the dialog sends an empty pair of them.
    for authorization in [None, Some("Basic Og==")] {
        let session = authorize(&server, &fastapi, authorization).expect(200);
        assert_eq!(session.json()["token_type"], "Bearer");
        assert_eq!(session.header("access-control-allow-origin"), PAGES);
        let answer = fastapi.bearer(&session.access_token()).get("/whoami").expect(200);
        assert_eq!(answer.json(), json!({"user": user, "roles": ["user"]}));
    }
    // With a wrong password there is nothing to call it with.
    let fields = [("grant_type", "password"), ("username", "ada@example.com"), ("password", "wrong horse")];
    server.client().form("/oauth2/token", &fields).expect_oauth(400, "invalid_grant");
}

#[test]
fn a_page_of_a_listed_origin_may_ask_for_a_token() {
    let server = service(Backend::Sqlite);
    let preflight = |origin: &str| {
        let client = server.client().with("origin", origin).with("access-control-request-method", "POST");
        client.with("access-control-request-headers", "authorization,x-requested-with,content-type").send(
            "OPTIONS",
            "/oauth2/token",
            None,
            b"",
        )
    };
    let allowed = preflight(PAGES).expect(200);
    assert_eq!(allowed.header("access-control-allow-origin"), PAGES);
    let headers = allowed.header("access-control-allow-headers").to_lowercase();
    assert!(["authorization", "x-requested-with", "content-type"].iter().all(|name| headers.contains(name)));
    let refused = preflight("https://evil.example");
    assert_eq!(refused.header("access-control-allow-origin"), "");
}

#[test]
fn a_fastapi_service_lets_in_the_bearer_of_a_genuine_token_only() {
    let server = service(Backend::Sqlite);
    let Some(app) = start(&server.url) else { return };
    sibling::lets_in_the_bearer_of_a_genuine_token_only(&server, &app.url);
    sibling::lets_administrators_only_into_the_office(&server, &app.url);
}

#[test]
fn a_fastapi_service_does_not_blame_the_caller_when_the_keys_cannot_be_fetched() {
    let server = service(Backend::Sqlite);
    let Some(app) = start(&sibling::nowhere()) else { return };
    sibling::does_not_blame_the_caller_when_the_keys_cannot_be_fetched(&server, &app.url);
}
