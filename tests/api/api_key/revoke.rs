//! `DELETE /v1/auth/api-keys/{id}`, `DELETE /v1/auth/api-keys`.

use super::*;
use crate::support::on_both;

on_both! {
    fn a_revoked_key_works_no_more_and_nor_does_what_it_was_exchanged_for(backend) {
        let (server, client) = world(backend);
        let (made, kept) = (make_key(&client, "account"), make_key(&client, "account").text_at("/key"));
        let (key, path) = (made.text_at("/key"), format!("/v1/auth/api-keys/{}", made.text_at("/id")));
        let exchanged = server.client().bearer(&exchange(&server, &key, &[]).expect(200).access_token());
        exchanged.get("/v1/auth/me").expect(200);
        client.delete(&path).expect(204);
        with_key(&server, &key).get("/v1/auth/me").expect_problem(401, "invalid_token");
        exchanged.get("/v1/auth/me").expect_problem(401, "invalid_token");
        exchange(&server, &key, &[]).expect_oauth(400, "invalid_request");
        client.delete(&path).expect_problem(404, "not_found");
        assert_eq!(server.audited("api_key_revoked"), 1);
        with_key(&server, &kept).get("/v1/auth/me").expect(200);
    }

    fn nobody_ends_or_rotates_a_strangers_key(backend) {
        let (server, client) = world(backend);
        let made = make_key(&client, "account");
        let eve = server.client().register("eve@example.com");
        let eve = server.client().bearer(&eve.access_token());
        for id in [made.text_at("/id").as_str(), "00000000-0000-0000-0000-000000000000", "x", "%00"] {
            eve.delete(&format!("/v1/auth/api-keys/{id}")).expect_problem(404, "not_found");
            eve.post_empty(&format!("/v1/auth/api-keys/{id}/rotate")).expect_problem(404, "not_found");
        }
        with_key(&server, &made.text_at("/key")).get("/v1/auth/me").expect(200);
    }

    fn all_keys_end_at_once_and_those_of_others_go_on(backend) {
        let (server, client) = world(backend);
        let keys = [make_key(&client, "account").text_at("/key"), make_key(&client, "account").text_at("/key")];
        let eve = server.client().register("eve@example.com");
        let hers = make_key(&server.client().bearer(&eve.access_token()), "account").text_at("/key");
        for _ in 0..2 {
            client.delete("/v1/auth/api-keys").expect(204);
        }
        for key in keys {
            with_key(&server, &key).get("/v1/auth/me").expect_problem(401, "invalid_token");
        }
        with_key(&server, &hers).get("/v1/auth/me").expect(200);
        assert_eq!(server.audited("api_keys_revoked"), 1, "nothing is written of nothing");
    }
}
