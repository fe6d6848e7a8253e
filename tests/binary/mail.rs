//! Accounts without a mail server: links from an operator's hand, and the folder that `dev` writes mails into.

use std::os::unix::fs::PermissionsExt;

use crate::support::mailbox::{find_token, read_folder};
use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, json, on_both, wait};

const NEW: &str = "a wholly other phrase";

on_both! {
    fn a_link_by_hand_resets_a_password_where_no_mail_is_sent(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()))
            .with("SIGNET_MAIL__RESET_PASSWORD_LINK", "https://app.example/reset#token={token}");
        let service = place.serve();
        let session = service.client().register("ada@example.com");
        service.client().post("/v1/auth/forgot-password", &json!({"email": "ada@example.com"})).expect_problem(403, "forbidden");
        let first = place.succeed(&["users", "reset-link", "ada@example.com"]);
        let link = place.succeed(&["users", "reset-link", "ADA@example.com"]);
        let token = link.trim().strip_prefix("https://app.example/reset#token=").expect("the configured page").to_owned();
        assert_eq!(find_token(&link), Some(token.clone()));
        let reset = |token: &str| {
            let body = json!({"token": token, "new_password": NEW});
            service.client().post("/v1/auth/reset-password", &body)
        };
        reset(&find_token(&first).expect("a token")).expect_problem(400, "invalid_one_time_token");
        reset(&token).expect(204);
        service.client().refresh(&session.refresh_token()).expect_problem(401, "invalid_grant");
        let user = service.client().post("/v1/auth/login", &json!({"email": "ada@example.com", "password": NEW})).expect(200);
        assert_eq!(user.json()["user"]["is_verified"], json!(false), "a link by hand shows no mailbox");
        assert_eq!(place.fail(&["users", "reset-link", "nobody@example.com"]), "there is no such user: `signet users list` shows who there is");
        place.succeed(&["users", "disable", "ada@example.com"]);
        for command in ["reset-link", "verify-link"] {
            assert_eq!(
                place.fail(&["users", command, "ada@example.com"]),
                "the user is disabled: `signet users enable` lets them in again"
            );
        }
        place.succeed(&["users", "delete", "ada@example.com"]);
        // Enabling a deleted account would change nothing.
        for command in ["reset-link", "verify-link", "force-reset", "enable"] {
            assert_eq!(
                place.fail(&["users", command, "ada@example.com"]),
                "the account is deleted: `signet users restore` brings it back"
            );
        }
        place.succeed(&["users", "restore", "ada@example.com"]);
        place.succeed(&["users", "enable", "ada@example.com"]);
        place.succeed(&["users", "reset-link", "ada@example.com"]);
        let issued = place.succeed(&["audit", "list", "--kind", "user_link_issued"]);
        assert_eq!(issued.lines().count(), 3, "what was refused is in no trail: {issued}");
    }

    fn a_link_by_hand_verifies_an_address(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path())).with("SIGNET_REGISTRATION", "verified");
        let service = place.serve();
        let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
        service.client().post("/v1/auth/register", &credentials).expect(202);
        service.client().post("/v1/auth/login", &credentials).expect_problem(401, "invalid_credentials");
        let token = place.succeed(&["users", "verify-link", "ada@example.com"]);
        service.client().post("/v1/auth/verify-email", &json!({"token": token.trim()})).expect(204);
        service.client().post("/v1/auth/login", &credentials).expect(200);
        // Whom an operator creates is let in at once.
        let create = ["users", "create", "root@example.com"];
        assert!(place.run_with_input(&create, &format!("{PASSWORD}\n")).status.success());
        service.client().login("root@example.com");
    }

    fn an_invitation_opens_one_account_for_its_address(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path())).with("SIGNET_REGISTRATION", "invite");
        let service = place.serve();
        let invitation = place.succeed(&["users", "invite", "Ada@example.com"]);
        let register = |email: &str| {
            let body = json!({"email": email, "password": PASSWORD, "invitation": invitation.trim()});
            service.client().post("/v1/auth/register", &body)
        };
        register("eve@example.com").expect_problem(400, "invalid_one_time_token");
        let session = register("ada@example.com").expect(201);
        assert_eq!(session.json()["user"]["is_verified"], json!(false));
        register("ada@example.com").expect_problem(400, "invalid_one_time_token");
        register("eve@example.com").expect_problem(400, "invalid_one_time_token");
        assert_eq!(place.fail(&["users", "invite", "ada@example.com"]), "an account with this e-mail address exists: `signet users show` shows it");
        assert!(place.fail(&["users", "invite", "eve@example.com", "--mail"]).contains("mail.url is not set"));
    }

    fn an_invitation_by_mail_verifies_the_address(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path()))
            .with("SIGNET_REGISTRATION", "invite")
            .with("SIGNET_MAIL__URL", "folder:mails");
        let service = place.serve();
        place.succeed(&["users", "invite", "ada@example.com", "--mail"]);
        let mail = await_mail(&place, "mails", "invitation");
        assert!(mail.contains("7 days"), "{mail}");
        let body = json!({"email": "ada@example.com", "password": PASSWORD, "invitation": find_token(&mail)});
        let session = service.client().post("/v1/auth/register", &body).expect(201);
        assert_eq!(session.json()["user"]["is_verified"], json!(true));
    }

    fn an_operator_changes_an_address_and_a_password_and_the_user_is_told(backend) {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::ready(&backend.database(dir.path())).with("SIGNET_MAIL__URL", "folder:mails");
        let service = place.serve();
        let session = service.client().register("ada@example.com");
        service.client().register("eve@example.com");
        assert_eq!(place.fail(&["users", "set-email", "ada@example.com", "EVE@example.com"]), "an account with this e-mail address exists: `signet users show` shows it");
        place.succeed(&["users", "set-email", "ada@example.com", "countess@example.org"]);
        let me = service.client().bearer(&session.access_token()).get("/v1/auth/me").expect(200);
        assert_eq!(me.json()["email"], "countess@example.org");
        assert!(await_mail(&place, "mails", "email_changed").contains("To: ada@example.com"));
        assert!(place.run_with_input(&["users", "set-password", "countess@example.org"], &format!("{NEW}\n")).status.success());
        assert!(await_mail(&place, "mails", "password_changed").contains("To: countess@example.org"));
        assert_eq!(place.fail(&["users", "set-email", "nobody@example.com", "a@x"]), "there is no such user: `signet users list` shows who there is");
    }
}

/// The text of the first mail of this kind.
#[track_caller]
fn await_mail(place: &Place, folder: &str, template: &str) -> String {
    let find = || read_folder(&place.path().join(folder)).into_iter().find(|mail| mail.template == template);
    wait::until_some(find).unwrap_or_else(|| panic!("no {template} arrived")).text
}

#[test]
fn dev_writes_each_mail_into_its_folder_and_prints_its_token() {
    let place = Place::new();
    let service = place.start(&["dev"]);
    service.client().register("ada@example.com");
    let mail = await_mail(&place, "data/mail", "verify_email");
    let token = find_token(&mail).expect("a token");
    service.client().post("/v1/auth/verify-email", &json!({"token": token})).expect(204);
    let folder = place.path().join("data/mail");
    let entries = std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path());
    for path in entries.chain([folder.clone()]) {
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path:?} holds what is nobody else's");
    }
    service.signal("TERM");
    let (_, printed) = service.end();
    assert!(printed.contains("  mail         data/mail"), "{printed}");
    assert!(printed.contains(&format!("verify_email for ada@example.com: {token}")), "{printed}");
}

#[test]
fn a_configuration_that_could_not_send_is_found_before_it_serves() {
    let place = Place::ready_on_sqlite().with("SIGNET_MAIL__URL", "folder:mails");
    std::fs::create_dir(place.path().join("words")).expect("a folder");
    std::fs::write(place.path().join("words/reset_password.txt"), "Subject: x\n\n{{ tokn }}").expect("written");
    let place = place.with("SIGNET_MAIL__TEMPLATES", "words");
    let found = String::from_utf8(place.run(&["check"]).stdout).expect("UTF-8");
    assert!(found.contains("finding: mail.templates: reset_password.txt:3"), "{found}");
    assert!(place.fail(&["serve"]).contains("mail.templates: reset_password.txt:3"));
    let place = place.with("SIGNET_MAIL__TEMPLATES", "").with("SIGNET_MAIL__URL", "smtp://u:hunter2secret@x?tls=none");
    let output = place.run(&["check"]);
    let found = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(found.contains("finding: mail.url: must not carry a password with tls=none"), "{found}");
    assert!(!found.contains("hunter2secret"));
}
