//! `signet mfa reseal`: the key that secrets are sealed with is replaced.

use std::sync::Arc;

use signet::audit::Actor;
use signet::config::{MfaConfig, Secret};
use signet::mfa::reseal::{Counts, reseal};
use signet::mfa::seal::SealingKeys;

use super::*;
use crate::api::admin::many_users;
use crate::support::phone::{SEALING_KEY, first_step, log_in, second_step};
use crate::support::program::Place;
use crate::support::{block_on, json, on_both};

const NEW: &str = "bmV3IGtleSBvZiB0aGUgc2lnbmV0IHRlc3Qgc3VpdGU=";

/// One pass with the new key, the old one being known.
fn pass(server: &Server) -> Counts {
    let older_secret_keys = vec![Secret(SEALING_KEY.to_owned())];
    let config = MfaConfig { secret_key: Secret(NEW.to_owned()), older_secret_keys, ..MfaConfig::default() };
    let (db, keys) = (server.operators_db(), Arc::new(SealingKeys::of(&config)));
    block_on(reseal(&db, keys, Actor::operator(), |_| {})).expect("resealed")
}

fn phones(server: &Server) -> Vec<(String, Phone)> {
    let add = |n: u32| {
        let email = format!("phone{n}@example.com");
        let session = server.client().register(&email);
        (email, Phone::add(server, &bearer(server, &session)))
    };
    (0..4).map(add).collect()
}

on_both! {
    fn afterwards_the_new_key_alone_opens_what_the_old_one_had_sealed(backend) {
        let server = start(backend);
        let phones = phones(&server);
        // One who only began to add an app keeps it, too.
        let bob = server.client().register("bob@example.com");
        let waiting = Phone::scan(&bearer(&server, &bob).post_empty("/v1/auth/mfa/totp").expect(200));
        // Enough of others for several steps: their secrets are another's, so nothing opens them.
        many_users(&server, 450);
        let (id, stamp) = match backend {
            Backend::Sqlite => ("randomblob(16)", "0"),
            Backend::Postgres => ("gen_random_uuid()", "now()"),
        };
        server.execute(&format!(
            "INSERT INTO totp_factors (id, user_id, key_id, sealed, created_at, confirmed_at, last_step) \
             SELECT {id}, users.id, latest.key_id, latest.sealed, {stamp}, NULL, 0 \
             FROM users, (SELECT * FROM totp_factors ORDER BY id DESC LIMIT 1) AS latest \
             WHERE users.id NOT IN (SELECT user_id FROM totp_factors)"
        ));
        let others = server.count("totp_factors") - 5;
        let expected = usize::try_from(others).expect("some");
        assert!(expected >= 440, "{expected}");
        assert_eq!(pass(&server), Counts { resealed: 5, current: 0, unopened: expected });
        let events = server.audited("user_factors_resealed");
        assert!((1..=3).contains(&events), "one for each step that changed anything: {events}");
        assert_eq!(pass(&server), Counts { resealed: 0, current: 5, unopened: expected }, "it goes on where it was");
        assert_eq!(server.audited("user_factors_resealed"), events);

        let alone = Server::start_beside(&server, server.clock.clone(), |config| config.mfa.secret_key.0 = NEW.to_owned());
        for (email, phone) in &phones {
            log_in(&alone, &alone.client(), email, phone);
        }
        bearer(&alone, &bob).post("/v1/auth/mfa/totp/confirm", &json!({"code": waiting.code(&alone)})).expect(200);
        let challenge = first_step(&server.client(), &phones[0].0);
        second_step(&server.client(), &challenge, &phones[0].1.next_code(&server)).expect_problem(503, "unavailable");
    }

    fn of_many_at_once_each_secret_is_sealed_anew_by_one(backend) {
        let server = start(backend);
        let phones = phones(&server);
        let all: Vec<Counts> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| pass(&server))).collect();
            threads.into_iter().map(|thread| thread.join().expect("resealed")).collect()
        });
        assert_eq!(all.iter().map(|counts| counts.resealed).sum::<usize>(), 4, "{all:?}");
        assert!(all.iter().all(|counts| counts.all() == 4 && counts.unopened == 0), "{all:?}");
        let alone = Server::start_beside(&server, server.clock.clone(), |config| config.mfa.secret_key.0 = NEW.to_owned());
        for (email, phone) in &phones {
            log_in(&alone, &alone.client(), email, phone);
        }
    }

    fn an_operator_is_told_what_cannot_be_opened(backend) {
        let server = start(backend);
        phones(&server);
        let place = Place::on(&server.config.database.url.0);
        assert!(place.fail(&["mfa", "reseal"]).contains("mfa.secret_key is not set"));
        let place = place.with("SIGNET_MFA__SECRET_KEY", NEW);
        let output = place.run(&["mfa", "reseal"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains("4 of 4 cannot be opened"), "{errors}");
        assert!(!errors.contains(NEW), "{errors}");
        let place = place.with("SIGNET_MFA__OLDER_SECRET_KEYS", SEALING_KEY);
        assert_eq!(place.succeed(&["mfa", "reseal"]), "4 sealed anew, 0 were sealed with this key\n");
        assert_eq!(place.succeed(&["mfa", "reseal"]), "0 sealed anew, 4 were sealed with this key\n");
        let place = place.with("SIGNET_MFA__SECRET_KEY", "hunter2");
        assert!(place.fail(&["mfa", "reseal"]).starts_with("mfa.secret_key: must be 32 bytes"));
    }
}
