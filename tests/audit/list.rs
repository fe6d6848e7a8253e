//! `/v1/admin/audit` and `signet audit`.

use std::time::Duration;

use super::World;
use crate::support::program::Place;
use crate::support::{Backend, Client, Value, json, on_both, token};

fn kinds(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().expect("events");
    events.iter().map(|event| event["kind"].as_str().expect("a kind").to_owned()).collect()
}

fn ask(admin: &Client, query: &str) -> Value {
    admin.get(&format!("/v1/admin/audit?{query}")).expect(200).json()
}

on_both! {
    fn administrators_read_the_trail_by_user_actor_kind_and_time(backend) {
        let world = World::start(backend);
        let admin = world.admin();
        let client = world.server.client().with("user-agent", "tester/1").with("x-request-id", "req-1");
        world.server.clock.advance(Duration::from_secs(100));
        let ada = token::decode(&client.register("ada@example.com").access_token()).1["sub"].as_str().expect("an id").to_owned();
        let wrong = json!({"email": "ada@example.com", "password": "not the password"});
        world.server.clock.advance(Duration::from_secs(1));
        client.post("/v1/auth/login", &wrong).expect(401);
        world.server.clock.advance(Duration::from_secs(100));
        client.login("ada@example.com");

        let all = ask(&admin, "");
        assert_eq!(kinds(&all), ["authn_login_success", "authn_login_fail", "user_registered", "authn_login_success", "user_registered"]);
        assert_eq!(all["next"], Value::Null);
        let failed = &all["events"][1];
        assert_eq!((failed["outcome"].as_str(), failed["subject"].as_str(), &failed["actor"]), (Some("failure"), Some(ada.as_str()), &Value::Null));
        assert_eq!(failed["detail"], json!({"reason": "wrong_password"}));
        assert_eq!((failed["address"].as_str(), failed["user_agent"].as_str(), failed["request_id"].as_str()), (Some("127.0.0.1"), Some("tester/1"), Some("req-1")));
        assert_eq!(all["events"][0]["outcome"], "success");

        assert_eq!(kinds(&ask(&admin, &format!("user={ada}"))), ["authn_login_success", "authn_login_fail", "user_registered"]);
        assert_eq!(kinds(&ask(&admin, &format!("actor={ada}"))), ["authn_login_success", "user_registered"]);
        assert_eq!(kinds(&ask(&admin, "kind=user_registered")).len(), 2);
        assert_eq!(kinds(&ask(&admin, &format!("kind=user_registered&user={ada}"))).len(), 1);
        assert_eq!(kinds(&ask(&admin, "kind=no_such_kind")), Vec::<String>::new());
        // The service began at 10:00:00.123.
        assert_eq!(kinds(&ask(&admin, "from=2026-11-21T10:01:00Z&to=2026-11-21T10:03:00Z")), ["authn_login_fail", "user_registered"]);
        assert_eq!(kinds(&ask(&admin, "from=2026-11-21T11:03:20%2B01:00")), ["authn_login_success"]);

        // Any year of four digits, also where the calendar behind it ends a day earlier.
        for all_of_time in ["from=0001-01-01T00:00:00Z", "to=9999-12-31T23:59:59Z", "from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59.999999-23:59"] {
            assert_eq!(kinds(&ask(&admin, all_of_time)), kinds(&all), "{all_of_time}");
        }
        assert_eq!(kinds(&ask(&admin, "from=9999-12-31T00:00:00Z")), Vec::<String>::new());
        let refused = admin.get("/v1/admin/audit?to=9999-12-31&from=2026-11-21T10:00:00").expect(422).json();
        for (place, field) in ["from", "to"].into_iter().enumerate() {
            let wrong = json!({"field": field, "code": "malformed", "detail": "a time has a date, a time of day and an offset, as 2026-12-24T18:00:00Z (RFC 3339)"});
            assert_eq!(refused["errors"][place], wrong);
        }

        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = ask(&admin, &format!("limit=2{after}"));
            seen.extend(kinds(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, kinds(&all));
        admin.get("/v1/admin/audit?kind=%25").expect_problem(422, "invalid_field");
        admin.get("/v1/admin/audit?limit=1000000000").expect_problem(422, "invalid_field");

        admin.get("/v1/admin/audit/head").expect_problem(404, "not_found");
        let head = world.seal();
        let told = admin.get("/v1/admin/audit/head").expect(200).json();
        assert_eq!((told["position"].as_i64(), told["digest"].as_str()), (Some(5), Some(head.digest.to_string().as_str())));
    }

    fn the_commands_list_export_and_verify(backend) {
        let world = World::start(backend);
        for name in ["ada", "bob"] {
            world.server.client().register(&format!("{name}@example.com"));
            // Events of one millisecond have no order.
            world.server.clock.advance(Duration::from_secs(1));
        }
        world.server.client().login("bob@example.com");
        let place = Place::on(&world.server.config.database.url.0);
        let lines = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect() };

        let listed = lines(&place.succeed(&["audit", "list", "--kind", "user_registered"]));
        assert_eq!(listed.len(), 2);
        assert_eq!(place.fail(&["audit", "list", "--kind", "%"]), "a kind reads like authn_login_fail");
        assert_eq!(place.succeed(&["audit", "export"]), "", "nothing is sealed");
        assert!(place.succeed(&["audit", "verify"]).contains("nothing is sealed"));
        let head = world.seal();

        let exported = lines(&place.succeed(&["audit", "export"]));
        let kinds: Vec<&str> = exported.iter().map(|line| line["kind"].as_str().expect("a kind")).collect();
        assert_eq!(kinds, ["user_registered", "user_registered", "authn_login_success"]);
        assert_eq!(exported[2]["digest"], head.digest.to_string());
        let second = exported[1]["id"].as_str().expect("an id");
        assert_eq!(lines(&place.succeed(&["audit", "export", "--after", second])), exported[2..]);
        let unknown = "01a1fc6f-48d0-717a-ac6b-fd36c79547f2";
        assert!(place.fail(&["audit", "export", "--after", unknown]).contains("is not sealed"));

        let noted = format!("{}:{}", head.position, head.digest);
        let verified = place.succeed(&["audit", "verify", "--noted", &noted]);
        assert!(verified.starts_with("3 event(s) checked, from position 1 on") && verified.contains(&format!("head {noted}, sealed ")), "{verified}");
        world.without_triggers(&format!("UPDATE audit_events SET address = NULL WHERE id = {}", world.id_at(2)));
        let broken = place.fail(&["audit", "verify"]);
        assert!(broken.starts_with("position 2: the event ") && broken.contains("was changed"), "{broken}");
    }
}
