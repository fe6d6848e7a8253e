//! `signet users`: the first administrator, before there is any token.

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, json, on_both, token};

on_both! {
    fn the_first_admin_is_made_without_any_token(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let create = ["users", "create", "root@example.com", "--name", "Root", "--role", "admin", "--role", "user"];
        let output = place.run_with_input(&create, &format!("{PASSWORD}\n"));
        assert!(output.status.success(), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(PASSWORD));
        let service = place.serve();
        let session = service.client().login("root@example.com");
        assert_eq!(session.json()["user"]["roles"], json!(["admin", "user"]));
        assert_eq!(token::decode(&session.access_token()).1["roles"], json!(["admin", "user"]));
        let again = place.run_with_input(&create, &format!("{PASSWORD}\n"));
        assert_eq!(again.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&again.stderr), "signet: error: an account with this e-mail address exists: `signet users show` shows it\n");
    }

    fn a_role_takes_effect_at_the_next_refresh_and_here_at_once(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let service = place.serve();
        let session = service.client().register("ada@example.com");
        place.succeed(&["users", "set-role", "ADA@example.com", "admin", "user"]);
        let me = service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        assert_eq!(me.json()["roles"], json!(["admin", "user"]));
        let next = service.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(token::decode(&next.access_token()).1["roles"], json!(["admin", "user"]));
        let metrics = service.operator().get("/metrics").text;
        assert!(metrics.contains("signet_refreshes_total{outcome=\"rotated\"} 1"), "{metrics}");
    }

    fn a_disabled_user_can_do_nothing(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()));
        let service = place.serve();
        let session = service.client().register("ada@example.com");
        let other = service.client().register("eve@example.com");
        place.succeed(&["users", "disable", "ada@example.com"]);
        place.succeed(&["users", "disable", "ada@example.com"]);
        service.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        service.client().bearer(&session.access_token()).get("/v1/auth/me").expect_problem(401, "invalid_token");
        let body = json!({"email": "ada@example.com", "password": PASSWORD});
        service.client().post("/v1/auth/login", &body).expect_problem(401, "invalid_credentials");
        service.client().refresh(&other.refresh_token()).expect(200);
    }
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let place = Place::ready_on_sqlite();
    assert_eq!(
        place.fail(&["users", "disable", "nobody@example.com"]),
        "there is no such user: `signet users list` shows who there is"
    );
    assert_eq!(
        place.fail(&["users", "set-role", "nobody@example.com", "admin"]),
        "there is no such user: `signet users list` shows who there is"
    );
    assert!(place.fail(&["users", "set-role", "a@x", "No Role"]).starts_with("a role is "));
    assert_eq!(place.fail(&["users", "create", "no address"]), "this is not an e-mail address");
    let weak = place.run_with_input(&["users", "create", "a@x"], "password123\n");
    assert!(String::from_utf8_lossy(&weak.stderr).contains("among the first that an attacker tries"));
    let unmigrated = Place::new().with("SIGNET_DATABASE__URL", "sqlite:empty.db");
    assert!(unmigrated.fail(&["users", "disable", "a@x"]).contains("run `signet migrate`"));
}
