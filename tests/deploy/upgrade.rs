//! An upgrade without an outage: the newer release has migrated, and instances of this one are still there.

use crate::support::program::Place;
use crate::support::{Backend, PASSWORD, Server, json, on_both};

on_both! {
    fn an_instance_serves_on_after_a_newer_release_has_migrated(backend) {
        let server = Server::start(backend);
        let client = server.client();
        let first = client.register("ada@example.com");
        // Its statement is kept prepared from here on.
        let session = client.refresh(&first.refresh_token()).expect(200);
        // What an expanding migration does, and the record of it.
        server.execute("ALTER TABLE users ADD COLUMN pronouns text");
        server.execute("ALTER TABLE sessions ADD COLUMN platform text");
        server.execute("CREATE TABLE things_to_come (id integer PRIMARY KEY)");
        server.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");

        let ready = server.operator().get("/health/ready").expect(200);
        assert_eq!(ready.json()["schema"], "newer");
        let next = client.refresh(&session.refresh_token()).expect(200);
        let me = client.bearer(&next.access_token());
        me.get("/v1/auth/me").expect(200);
        me.patch("/v1/auth/me", &json!({"name": "Ada"})).expect(200);
        me.get("/v1/auth/sessions").expect(200);
        client.register("eve@example.com");
        client.login("ada@example.com");
        let change = json!({"current_password": PASSWORD, "new_password": "a wholly other phrase"});
        me.post("/v1/auth/change-password", &change).expect(204);
        client.post("/v1/auth/logout", &json!({"refresh_token": next.refresh_token()})).expect(204);

        // But it does not start again, nor do its commands write.
        let place = Place::on(&server.config.database.url.0);
        for command in [&["sessions", "end", "--all"][..], &["users", "disable", "ada@example.com"]] {
            assert!(place.fail(command).ends_with("which this release does not know: run the newer release"));
        }
    }
}
