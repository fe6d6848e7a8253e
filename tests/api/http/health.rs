//! The management listener.

use crate::support::{Backend, Server, json, on_both};

on_both! {
    fn a_service_that_can_serve_is_ready(backend) {
        let server = Server::start(backend);
        let mut answer = server.operator().get("/health/ready").expect(200).json();
        // The test's clock stands still, which a server with a clock of its own remarks upon.
        let warnings = answer.as_object_mut().expect("an object").remove("warnings");
        let offset = server.metric("signet_database_clock_offset_seconds");
        match backend {
            Backend::Sqlite => assert_eq!((warnings, offset), (None, 0.0)),
            Backend::Postgres => {
                let apart = format!("this machine's clock and the database's are {} s apart", offset.abs());
                assert_eq!(warnings, Some(json!([apart])));
            }
        }
        let all_well = json!({"status": "ready", "database": "ok", "schema": "ok", "keys": "ok", "hashing": "ok"});
        assert_eq!(answer, all_well);
        assert_eq!(server.operator().get("/health/live").expect(200).json(), json!({"status": "live"}));
        server.operator().get("/v1/auth/me").expect_problem(404, "not_found");
    }

    fn a_schema_that_lacks_a_migration_is_not_ready_but_alive(backend) {
        let server = Server::start(backend);
        server.execute("DELETE FROM __diesel_schema_migrations");
        let answer = server.operator().get("/health/ready").expect(503);
        assert_eq!(answer.json()["schema"], "behind");
        server.operator().get("/health/live").expect(200);
    }

    fn metrics_count_by_route_pattern_and_outcome(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        server.client().bearer(&session.access_token()).delete("/v1/auth/sessions/nothing").expect(404);
        server.client().get("/whatever/ada@example.com").expect(404);
        server.client().refresh(&session.refresh_token()).expect(200);
        let answer = server.operator().get("/metrics").expect(200);
        assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
        for line in [
            "signet_http_requests_total{method=\"POST\",route=\"/v1/auth/register\",status=\"201\"} 1",
            "signet_http_requests_total{method=\"DELETE\",route=\"/v1/auth/sessions/{id}\",status=\"404\"} 1",
            "signet_http_requests_total{method=\"GET\",route=\"(none)\",status=\"404\"} 1",
            "signet_refreshes_total{outcome=\"rotated\"} 1",
            "signet_hash_duration_seconds_count 1",
            "signet_database_pool_size 4",
            "signet_keys{state=\"signing\"} 1",
            "signet_database_transaction_duration_seconds_count{name=\"session.rotate\"} 1",
        ] {
            assert!(answer.text.contains(line), "{line} is not in\n{}", answer.text);
        }
        assert!(!answer.text.contains("ada@example.com"));
    }
}
