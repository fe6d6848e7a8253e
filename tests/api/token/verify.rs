//! Forged, foreign and worn-out access tokens at our own routes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use signet::token::key_file;
use signet::token::keyring::Keyring;
use signet::token::verify::Verifier;

use crate::support::{Backend, Server, Value, json, on_both, token};

fn me(server: &Server, token: &str) -> u16 {
    let answer = server.client().bearer(token).get("/v1/auth/me");
    if answer.status == 401 {
        let challenge = r#"Bearer realm="signet", error="invalid_token""#;
        assert_eq!(answer.clone().expect_problem(401, "invalid_token").header("www-authenticate"), challenge);
    }
    answer.status
}

fn with(value: &Value, name: &str, member: Value) -> Value {
    let mut value = value.clone();
    value[name] = member;
    value
}

fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().expect("an object").remove(name);
    value
}

on_both! {
    fn a_forgers_own_signature_is_as_good_as_ours_only_with_our_claims(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let (header, claims) = token::decode(&session.access_token());
        let keys = server.config.keys.dir.clone();
        assert_eq!(me(&server, &token::sign(&keys, &header, &claims)), 200, "the forger below works as intended");

        for (name, value) in [
            ("alg", json!("none")), ("alg", json!("None")), ("alg", json!("")), ("alg", json!("HS256")), ("alg", json!("ES384")),
            ("alg", json!("RS256")), ("alg", json!("EdDSA")), ("typ", json!("JWT")), ("typ", json!("id+jwt")), ("typ", json!("AT+JWT")),
            ("kid", json!("../../dev/null")), ("kid", json!("' OR 1=1")), ("kid", json!("\u{0}")), ("kid", json!(1)), ("kid", json!(null)),
            ("kid", json!([])), ("kid", json!("x".repeat(65_536 / 16))), ("jku", json!("http://127.0.0.1:9/jwks")),
            ("x5u", json!("http://127.0.0.1:9/")), ("x5c", json!([])), ("jwk", json!({})), ("crit", json!(["exp"])), ("b64", json!(false)),
            ("cty", json!("JWT")),
        ] {
            assert_eq!(me(&server, &token::sign(&keys, &with(&header, name, value.clone()), &claims)), 401, "{name}: {value}");
        }
        for name in ["alg", "typ", "kid"] {
            assert_eq!(me(&server, &token::sign(&keys, &without(&header, name), &claims)), 401, "no {name}");
        }

        let now = claims["iat"].as_i64().expect("a number");
        for (name, value) in [
            ("iss", json!("http://evil.example")), ("iss", json!(format!("{}/", server.url))), ("iss", json!([server.url])),
            ("aud", json!("other")), ("aud", json!(null)), ("aud", json!(["other"])), ("exp", json!(now)), ("exp", json!("soon")),
            ("exp", json!(null)), ("iat", json!(now + 61)), ("iat", json!(null)), ("auth_time", json!(now + 61)),
            ("nbf", json!(now + 61)),
            ("nbf", json!("later")),
            ("sub", json!("00000000-0000-0000-0000-000000000000")), ("sub", json!("' OR 1=1")), ("sub", json!(7)),
            ("sid", json!("00000000-0000-0000-0000-000000000000")), ("sid", json!(null)), ("jti", json!(null)), ("client_id", json!(7)),
            ("scope", json!(["account"])), ("roles", json!("admin")), ("amr", json!("pwd")),
        ] {
            assert_eq!(me(&server, &token::sign(&keys, &header, &with(&claims, name, value.clone()))), 401, "{name}: {value}");
        }
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "roles", "sid", "auth_time", "amr"] {
            assert_eq!(me(&server, &token::sign(&keys, &header, &without(&claims, name))), 401, "no {name}");
        }
        let scope = with(&claims, "scope", json!("other"));
        assert_eq!(me(&server, &token::sign(&keys, &header, &scope)), 403);
    }

    fn a_member_that_comes_twice_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let (header, claims) = token::decode(&session.access_token());
        let twice = |value: &Value, name: &str| {
            let text = value.to_string();
            format!("{{\"{name}\":{},{}", value[name], &text[1..]).into_bytes()
        };
        let keys = &server.config.keys.dir;
        assert_eq!(me(&server, &token::sign_bytes(keys, &twice(&header, "alg"), claims.to_string().as_bytes())), 401);
        for name in ["sub", "exp", "aud", "sid"] {
            assert_eq!(me(&server, &token::sign_bytes(keys, header.to_string().as_bytes(), &twice(&claims, name))), 401, "{name}");
        }
    }

    fn a_symmetric_signature_with_public_material_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let (header, claims) = token::decode(&session.access_token());
        let jwk = server.client().get("/.well-known/jwks.json").json()["keys"][0].clone();
        let key = key_file::read_folder(&server.config.keys.dir).expect("readable").keys.remove(0);
        let pem = key_file::public_pem(&key);
        for secret in [pem.as_bytes(), pem.trim().as_bytes(), jwk.to_string().as_bytes(), key.kid.as_bytes(), jwk["x"].as_str().expect("x").as_bytes(), b""] {
            let mut forged = Header::new(Algorithm::HS256);
            forged.typ = Some("at+jwt".to_owned());
            forged.kid = header["kid"].as_str().map(str::to_owned);
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&forged).expect("plain")), URL_SAFE_NO_PAD.encode(claims.to_string()));
            use hmac::{Hmac, KeyInit, Mac};
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("any length");
            mac.update(message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
            assert_eq!(me(&server, &token), 401);
        }
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(with(&header, "alg", json!("none")).to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert_eq!(me(&server, &none), 401);
    }

    fn a_stranger_with_a_key_of_their_own_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let (header, claims) = token::decode(&session.access_token());
        let dir = tempfile::tempdir().expect("a folder");
        let own = key_file::create(dir.path(), server.clock.now(), Duration::ZERO).expect("a key");
        assert_eq!(me(&server, &token::sign(dir.path(), &header, &claims)), 401, "our kid, their key");
        assert_eq!(me(&server, &token::sign(dir.path(), &with(&header, "kid", json!(own.kid)), &claims)), 401, "their kid");
    }

    fn a_mangled_signature_or_encoding_is_refused(backend) {
        let server = Server::start(backend);
        let token = server.client().register("ada@example.com").access_token();
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let resigned = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let order = [0xffu8, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51];
        let der = p256::ecdsa::Signature::from_slice(&bytes).expect("a signature").to_der();
        for forged in [
            format!("{message}."), message.to_owned(), resigned(&[0; 64]), resigned(&[order, order].concat()), resigned(&bytes[..63]),
            resigned(&[&bytes[..], &[0]].concat()), resigned(der.as_bytes()), format!("{token}="), format!("{token}.x"), format!(" {token} x"),
            token[..token.len() - 1].to_owned(), format!("{token}A"), token.replacen('.', "..", 1), "x".repeat(9_000),
        ] {
            assert_eq!(me(&server, &forged), 401, "{forged}");
        }
        // One flipped bit anywhere: every character of the token, one at a time.
        for index in (0..token.len()).step_by(7) {
            let mut flipped = token.clone().into_bytes();
            flipped[index] ^= 1;
            if let Ok(flipped) = String::from_utf8(flipped) {
                assert_eq!(me(&server, &flipped), 401, "at {index}");
            }
        }
        // The last character of a signature has bits that nothing encodes: they must be zero.
        let last = token.chars().last().expect("a character");
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let sibling = alphabet.chars().nth(alphabet.find(last).expect("base64url") ^ 1).expect("64 characters");
        assert_eq!(me(&server, &format!("{}{sibling}", &token[..token.len() - 1])), 401);
    }

    fn the_mirrored_signature_of_a_revoked_token_is_refused_like_the_token(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        let token = session.access_token();
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let signature = p256::ecdsa::Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).expect("base64url")).expect("a signature");
        let (r, s) = signature.split_scalars();
        let mirrored = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).expect("a signature");
        let mirrored = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mirrored.to_bytes()));
        assert_ne!(mirrored, token);
        assert_eq!(me(&server, &mirrored), 200, "it is a valid signature by the curve's symmetry");
        server.client().bearer(&token).post_empty("/v1/auth/logout").expect(204);
        assert_eq!((me(&server, &token), me(&server, &mirrored)), (401, 401));
    }

    fn a_token_expires_to_the_second(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        // The clock stands at a fraction of a second past `iat`.
        server.clock.advance(Duration::from_micros(899_876_543));
        assert_eq!(me(&server, &session.access_token()), 200);
        server.clock.advance(Duration::from_micros(1));
        assert_eq!(me(&server, &session.access_token()), 401);
    }

    fn what_is_no_access_token_is_refused(backend) {
        let server = Server::start(backend);
        let session = server.client().register("ada@example.com");
        for token in [session.refresh_token().as_str(), "", "x", "a.b.c", "..", "sgr_x"] {
            assert_eq!(me(&server, token), 401, "{token}");
        }
        server.client().refresh(&session.access_token()).expect_problem(401, "invalid_grant");
    }

    fn the_header_is_read_as_rfc_6750_says(backend) {
        let server = Server::start(backend);
        let token = server.client().register("ada@example.com").access_token();
        let get = |headers: &[&str]| {
            let mut client = server.client();
            for header in headers {
                client = client.with("authorization", header);
            }
            client.get("/v1/auth/me")
        };
        get(&[&format!("bearer {token}")]).expect(200);
        get(&[&format!("BEARER  {token}")]).expect(200);
        for missing in [&[][..], &["Basic YTpi"]] {
            let answer = get(missing).expect_problem(401, "invalid_token");
            assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="signet""#, "no error code: no token was sent");
        }
        get(&["Bearer"]).expect_problem(401, "invalid_token");
        let good = format!("Bearer {token}");
        get(&[&good, &good]).expect_problem(400, "invalid_request");
        server.client().get(&format!("/v1/auth/me?access_token={token}")).expect_problem(401, "invalid_token");
    }
}

/// In full, on the verifier itself, which has no database to ask.
#[test]
fn every_prefix_suffix_and_flipped_bit_of_a_token_is_refused() {
    let server = Server::start(Backend::Sqlite);
    let token = server.client().register("ada@example.com").access_token();
    let key = key_file::read_folder(&server.config.keys.dir).expect("readable").keys;
    let ring =
        std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(Keyring::new(key, server.config.token.access_ttl.0)));
    let verifier = Verifier::new(&server.config, ring);
    let now = server.clock.now();
    assert!(verifier.verify(&token, now).is_ok());
    for end in 0..token.len() {
        assert!(verifier.verify(&token[..end], now).is_err(), "cut at {end}");
        assert!(verifier.verify(&token[end + 1..], now).is_err(), "cut before {}", end + 1);
    }
    for bit in 0..token.len() * 8 {
        let mut bytes = token.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = String::from_utf8(bytes).map_or(true, |flipped| verifier.verify(&flipped, now).is_err());
        assert!(refused, "bit {bit}");
    }
}
