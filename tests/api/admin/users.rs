//! `GET, POST /v1/admin/users`, `GET, PATCH /v1/admin/users/{id}`, `POST /v1/admin/invitations`.

use super::{admin, bare, expect_password_works, log_in_with, start, start_with_mail, trail, user_id};
use crate::support::mailbox::Mailbox;
use crate::support::{Backend, PASSWORD, json, on_both, token};

on_both! {
    fn an_account_that_is_opened_for_somebody_has_no_password(backend) {
        let server = start(backend);
        let root = admin(&server);
        let body = json!({"email": "Ada@Example.com", "name": "Ada", "roles": ["author", "user"]});
        let created = root.client.post("/v1/admin/users", &body).expect(201);
        let id = created.text_at("/id");
        assert_eq!(created.header("location"), format!("/v1/admin/users/{id}"));
        assert_eq!(created.json(), json!({
            "id": id, "email": "Ada@Example.com", "name": "Ada", "roles": ["author", "user"], "is_active": true,
            "is_verified": true, "created_at": "2026-11-21T10:00:00.123456Z", "last_login_at": null, "disabled_until": null,
        }));
        assert_eq!(root.client.get(&format!("/v1/admin/users/{id}")).expect(200).json(), created.json());
        log_in_with(&server, "ada@example.com", PASSWORD).expect_problem(401, "invalid_credentials");
        let (actor, subject, detail) = trail(&server, "user_created").pop().expect("an event");
        assert_eq!((actor, subject), (bare(&root.id), bare(&id)));
        assert_eq!(detail["roles"], json!(["author", "user"]));
        root.client.post("/v1/admin/users", &json!({"email": "ada@EXAMPLE.com"})).expect_problem(409, "email_taken");
        let plain = root.client.post("/v1/admin/users", &json!({"email": "eve@example.com", "is_verified": false}));
        assert_eq!(plain.expect(201).json()["roles"], json!(["user"]));
        assert_eq!(server.audited("user_created"), 2);
    }

    fn a_user_is_changed_as_a_whole_or_not_at_all(backend) {
        let server = start(backend);
        let root = admin(&server);
        let session = server.client().register("ada@example.com");
        server.client().register("taken@example.com");
        let path = format!("/v1/admin/users/{}", user_id(&session));
        let before = root.client.get(&path).expect(200).json();
        let refused = json!({"name": "Countess", "email": "TAKEN@example.com", "roles": ["author"], "is_verified": true});
        root.client.patch(&path, &refused).expect_problem(409, "email_taken");
        assert_eq!(root.client.get(&path).expect(200).json(), before);
        let change = json!({"name": "Countess", "email": "new@example.com", "roles": ["author"]});
        let changed = root.client.patch(&path, &change).expect(200).json();
        assert_eq!((&changed["name"], &changed["email"]), (&json!("Countess"), &json!("new@example.com")));
        assert_eq!((&changed["roles"], &changed["is_verified"]), (&json!(["author"]), &json!(true)));
        let next = server.client().refresh(&session.refresh_token()).expect(200);
        assert_eq!(token::decode(&next.access_token()).1["roles"], json!(["author"]), "sessions go on");
        for kind in ["user_updated", "user_email_changed", "authz_roles_change"] {
            let events = trail(&server, kind);
            assert_eq!(events.len(), 1, "{kind}");
            assert_eq!((&events[0].0, &events[0].1), (&bare(&root.id), &bare(&user_id(&session))), "{kind}");
        }
        let changed = root.client.patch(&path, &json!({"name": null, "is_verified": false})).expect(200).json();
        assert_eq!((&changed["name"], &changed["is_verified"]), (&json!(null), &json!(false)));
        let unvouched = json!({"email": "other@example.com", "is_verified": false});
        assert_eq!(root.client.patch(&path, &unvouched).expect(200).json()["is_verified"], false);
        assert_eq!(root.client.patch(&path, &json!({})).expect(200).json()["email"], "other@example.com");
    }

    fn a_disabled_user_gets_another_address(backend) {
        let server = start(backend);
        let root = admin(&server);
        let id = user_id(&server.client().register("ada@example.com"));
        root.client.post_empty(&format!("/v1/admin/users/{id}/disable")).expect(200);
        let changed = root.client.patch(&format!("/v1/admin/users/{id}"), &json!({"email": "new@example.com"}));
        assert_eq!(changed.expect(200).json()["is_active"], false);
    }

    fn an_invitation_opens_an_account(backend) {
        let server = start(backend);
        let root = admin(&server);
        let invited = root.client.post("/v1/admin/invitations", &json!({"email": "ada@example.com"})).expect(200);
        assert_eq!((invited.json()["by_mail"].clone(), invited.json()["expires_in"].clone()), (json!(false), json!(604_800)));
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "invitation": invited.text_at("/token")});
        server.client().post("/v1/auth/register", &body).expect(201);
        root.client.post("/v1/admin/invitations", &json!({"email": "ada@example.com"})).expect_problem(409, "email_taken");
        assert_eq!(trail(&server, "user_invited").pop().expect("an event").0, bare(&root.id));
        expect_password_works(&server, "ada@example.com");
    }

    fn an_invitation_goes_out_by_mail_and_nobody_else_sees_it(backend) {
        let server = start_with_mail(backend);
        let mailbox = Mailbox::of(&server);
        let root = admin(&server);
        let invited = root.client.post("/v1/admin/invitations", &json!({"email": "ada@example.com"})).expect(200);
        assert_eq!(invited.json(), json!({"by_mail": true, "expires_in": 604_800}));
        let token = mailbox.newest("ada@example.com", "invitation").token();
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "invitation": token});
        assert_eq!(server.client().post("/v1/auth/register", &body).expect(201).json()["user"]["is_verified"], true);
    }
}
