//! `GET /v1/admin/users`, looking for somebody.

use std::time::Duration;

use super::{Admin, admin, start};
use crate::support::{Backend, Server, Value, json, on_both};

/// A service with people in it, and who looks for them.
fn world(backend: Backend) -> (Server, Admin) {
    let server = start(backend);
    let root = admin(&server);
    for (email, name) in [
        ("ada@example.com", "Ada Lovelace"),
        ("adam@example.com", "adam smith"),
        ("Adele@Example.com", "Adele_100%"),
        ("a_b@example.com", "A\\B"),
        ("axb@example.com", "AXB"),
        ("o'neil@example.com", "O'Neil"),
        ("bea%@example.com", "Béa"),
    ] {
        // Ids sort by the time at which they were made.
        server.clock.advance(Duration::from_millis(1));
        let body = json!({"email": email, "name": name, "is_verified": email.starts_with("ada")});
        root.client.post("/v1/admin/users", &body).expect(201);
    }
    (server, root)
}

/// The addresses of a page.
fn emails(page: &Value) -> Vec<String> {
    let users = page["users"].as_array().expect("a list");
    users.iter().map(|user| user["email"].as_str().expect("an address").to_owned()).collect()
}

/// What is found by a query string, given in clear.
fn found(root: &Admin, query: &[(&str, &str)]) -> Vec<String> {
    emails(&root.client.get(&path(query)).expect(200).json())
}

fn path(query: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    format!("/v1/admin/users?{}", text.extend_pairs(query).finish())
}

on_both! {
    fn people_are_found_by_how_their_address_or_name_begins(backend) {
        let (_server, root) = world(backend);
        assert_eq!(found(&root, &[("email", "ADA")]), ["ada@example.com", "adam@example.com"]);
        assert_eq!(found(&root, &[("email", "ada@")]), ["ada@example.com"]);
        assert_eq!(found(&root, &[("email", "adele@example.com")]), ["Adele@Example.com"]);
        assert_eq!(found(&root, &[("name", "ad")]), ["ada@example.com", "adam@example.com", "Adele@Example.com"]);
        assert_eq!(found(&root, &[("name", "ADAM s")]), ["adam@example.com"]);
        assert_eq!(found(&root, &[("name", "Bé")]), ["bea%@example.com"]);
        assert_eq!(found(&root, &[("name", "smith")]), Vec::<String>::new(), "the beginning only");
        assert_eq!(found(&root, &[("email", "ad"), ("name", "adam")]), ["adam@example.com"]);
        assert_eq!(found(&root, &[("email", "ad"), ("is_verified", "false")]), ["Adele@Example.com"]);
        assert_eq!(found(&root, &[("role", "admin")]), ["root@example.com"]);
        assert_eq!(found(&root, &[("role", "admin"), ("email", "a")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("role", "auditor")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("id", &root.id)]), ["root@example.com"]);
        assert_eq!(found(&root, &[("id", &root.id), ("is_active", "false")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("id", "01a1fc6f-48d0-717a-ac6b-fd36c79547f2")]), Vec::<String>::new());
        let all = found(&root, &[]);
        assert_eq!((all.len(), all[0].as_str(), all[7].as_str()), (8, "bea%@example.com", "root@example.com"), "newest first");
    }

    fn no_character_means_more_than_itself(backend) {
        let (_server, root) = world(backend);
        assert_eq!(found(&root, &[("email", "%")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("email", "a_b")]), ["a_b@example.com"]);
        assert_eq!(found(&root, &[("email", "a%")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("email", "bea%")]), ["bea%@example.com"]);
        assert_eq!(found(&root, &[("email", "o'")]), ["o'neil@example.com"]);
        assert_eq!(found(&root, &[("email", "' OR 1=1 --")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("name", "A\\")]), ["a_b@example.com"]);
        assert_eq!(found(&root, &[("name", "adele_100%")]), ["Adele@Example.com"]);
        assert_eq!(found(&root, &[("name", "a_")]), Vec::<String>::new());
        assert_eq!(found(&root, &[("name", "\u{10ffff}")]), Vec::<String>::new());
    }

    fn whatever_is_no_search_is_refused(backend) {
        let (_server, root) = world(backend);
        let long = "a".repeat(255);
        for (name, value, code) in [
            ("email", long.as_str(), "too_long"),
            ("name", &long, "too_long"),
            ("email", "", "too_short"),
            ("name", " ", "too_short"),
            ("email", "a\0", "control_character"),
            ("name", "a\nb", "control_character"),
            ("role", "Admin", "malformed"),
            ("role", "admin user", "malformed"),
            ("role", "%", "malformed"),
            ("id", "1", "malformed"),
            ("is_active", "yes", "wrong_type"),
            ("limit", "1000000000", "out_of_range"),
            ("limit", "1e9", "out_of_range"),
            ("limit", "0", "out_of_range"),
            ("limit", "-1", "out_of_range"),
            ("page", "-1", "unknown"),
            ("password_hash", "x", "unknown"),
            ("after", "x", "malformed"),
            ("after", "AAAA", "malformed"),
        ] {
            let refused = root.client.get(&path(&[(name, value)])).expect_problem(422, "invalid_field");
            assert_eq!(refused.field_errors(), [(name.to_owned(), code.to_owned())], "{name}={value:.20}");
        }
        let longer = path(&[("email", &"a".repeat(10_000))]);
        root.client.get(&longer).expect_problem(414, "invalid_request");
        let twice = root.client.get(&path(&[("email", "a"), ("email", "b")])).expect_problem(422, "invalid_field");
        assert_eq!(twice.field_errors(), [("email".to_owned(), "repeated".to_owned())]);
        let by_email = root.client.get(&path(&[("email", "a"), ("limit", "1")])).expect(200).text_at("/next");
        for other in [vec![("after", by_email.as_str())], vec![("name", "a"), ("after", &by_email)]] {
            let refused = root.client.get(&path(&other)).expect_problem(422, "invalid_field");
            assert_eq!(refused.field_errors()[0].0, "after", "a place in another order");
        }
    }

    fn pages_lead_through_all_and_show_nobody_twice(backend) {
        let server = start(backend);
        let root = admin(&server);
        // Of one name, so that only the id tells them apart; and none of an address that begins alike, so that it is another order.
        for n in 0..25 {
            let body = json!({"email": format!("{}-{n}@example.com", 25 - n), "name": "Twin"});
            root.client.post("/v1/admin/users", &body).expect(201);
        }
        for query in [vec![], vec![("name", "TWIN")], vec![("email", "1")], vec![("is_verified", "true")]] {
            let whole = found(&root, &[query.clone(), vec![("limit", "100")]].concat());
            let (mut seen, mut after, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let mut query = query.clone();
                query.push(("limit", "4"));
                if let Some(after) = &after {
                    query.push(("after", after));
                }
                let page = root.client.get(&path(&query)).expect(200).json();
                seen.extend(emails(&page));
                pages += 1;
                match page["next"].as_str() {
                    Some(next) => after = Some(next.to_owned()),
                    None => break,
                }
            }
            assert_eq!(seen, whole, "{query:?}");
            assert_eq!(pages, whole.len().div_ceil(4), "{query:?}");
        }
    }

    fn a_rare_kind_of_user_is_looked_for_a_thousand_rows_at_a_time(backend) {
        let server = start(backend);
        let root = admin(&server);
        root.client.patch(&format!("/v1/admin/users/{}", root.id), &json!({"roles": ["admin", "auditor"]})).expect(200);
        crate::api::admin::many_users(&server, 1_500);
        let page = root.client.get(&path(&[("role", "auditor")])).expect(200).json();
        assert_eq!(emails(&page), Vec::<String>::new(), "the first look ends before");
        let next = page["next"].as_str().expect("there is more").to_owned();
        let page = root.client.get(&path(&[("role", "auditor"), ("after", &next)])).expect(200).json();
        assert_eq!((emails(&page), &page["next"]), (vec!["root@example.com".to_owned()], &Value::Null));
        assert_eq!(found(&root, &[("role", "admin")]), ["root@example.com"], "administrators have an index");
    }
}
