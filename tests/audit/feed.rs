//! `/v1/admin/events`.

use super::{World, batch, inserting};
use crate::support::{Backend, Client, Value, json, on_both, token};

fn read(admin: &Client, after: i64, limit: usize) -> Value {
    admin.get(&format!("/v1/admin/events?after={after}&limit={limit}")).expect(200).json()
}

fn types(feed: &Value) -> Vec<&str> {
    feed["events"].as_array().expect("events").iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

on_both! {
    fn siblings_read_what_happened_to_users_and_nothing_else(backend) {
        let world = World::start(backend);
        let admin = world.admin();
        let client = world.server.client();
        // Events of one millisecond have no order.
        let step = || world.server.clock.advance(std::time::Duration::from_secs(1));
        step();
        let session = client.register("ada@example.com");
        step();
        let claims = token::decode(&session.access_token()).1;
        client.bearer(&session.access_token()).patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        step();
        let wrong = json!({"email": "ada@example.com", "password": "not the password"});
        client.post("/v1/auth/login", &wrong).expect(401);
        client.login("ada@example.com");
        client.post("/v1/auth/logout", &json!({"refresh_token": session.refresh_token()})).expect(204);
        assert_eq!(read(&admin, 0, 10), json!({"events": [], "next": 0, "more": false}), "nothing is told before it is sealed");
        let head = world.seal();

        let feed = read(&admin, 0, 10);
        assert_eq!(types(&feed), ["user.created", "user.created", "user.updated", "session.revoked"]);
        assert_eq!((feed["next"].as_i64(), &feed["more"]), (Some(head.position), &json!(false)));
        let (ada, sid) = (&claims["sub"], &claims["sid"]);
        assert_eq!(feed["events"][2]["data"], json!({"user_id": ada, "changed": ["name"]}));
        assert_eq!(feed["events"][3]["data"], json!({"user_id": ada, "session_id": sid, "all": false, "reason": "logged_out"}));
        assert!(!feed.to_string().contains('@') && !feed.to_string().contains("127.0.0.1"), "{feed}");

        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = read(&admin, after, 1);
            seen.extend(types(&page).into_iter().map(str::to_owned));
            after = page["next"].as_i64().expect("a place");
            if page["more"] == false {
                break;
            }
        }
        assert_eq!(seen, types(&feed));
        assert_eq!(read(&admin, after, 10), json!({"events": [], "next": after, "more": false}));
        admin.get("/v1/admin/events?after=x").expect_problem(422, "invalid_field");
    }

    // The trap of every feed by id or by time: what is committed late lies behind the reader, and is never read.
    fn what_is_committed_late_is_not_passed_over(backend) {
        let world = World::start(backend);
        let admin = world.admin();
        let mut slow = world.server.database();
        let late = inserting(backend, 0);
        if backend == Backend::Postgres {
            batch(&mut slow, "BEGIN").expect("begun");
            batch(&mut slow, &late).expect("inserted");
        }
        world.server.clock.advance(std::time::Duration::from_secs(30));
        world.server.client().register("ada@example.com");
        world.seal();
        let first = read(&admin, 0, 10);
        assert_eq!(types(&first), ["user.created", "user.created"]);
        if backend == Backend::Postgres {
            batch(&mut slow, "COMMIT").expect("committed");
        } else {
            batch(&mut slow, &late).expect("inserted");
        }
        world.seal();
        let second = read(&admin, first["next"].as_i64().expect("a place"), 10);
        assert_eq!(types(&second), ["user.disabled"]);
    }
}
