//! There is always an administrator (Z4).

use super::{Admin, admin, admin_called, start};
use crate::support::{Backend, Server, json, on_both};

fn active_admins(server: &Server) -> i64 {
    let is_active = if server.config.database.url.0.starts_with("sqlite") { "is_active = 1" } else { "is_active" };
    server.count(&format!("users WHERE roles LIKE '%admin%' AND {is_active}"))
}

fn disable(admin: &Admin, id: &str) -> u16 {
    admin.client.post_empty(&format!("/v1/admin/users/{id}/disable")).status
}

fn strip(admin: &Admin, id: &str) -> u16 {
    admin.client.patch(&format!("/v1/admin/users/{id}"), &json!({"roles": ["user"]})).status
}

on_both! {
    fn the_last_one_is_neither_disabled_nor_stripped_not_even_by_themselves(backend) {
        let server = start(backend);
        let root = admin(&server);
        let path = format!("/v1/admin/users/{}", root.id);
        root.client.post_empty(&format!("{path}/disable")).expect_problem(409, "last_admin");
        root.client.patch(&path, &json!({"roles": [], "name": "X"})).expect_problem(409, "last_admin");
        assert_eq!(root.client.get(&path).expect(200).json()["name"], json!(null));
        root.client.patch(&path, &json!({"roles": ["admin", "author"]})).expect(200);
        let other = admin_called(&server, "other@example.com");
        root.client.post_empty(&format!("/v1/admin/users/{}/disable", other.id)).expect(200);
        root.client.post_empty(&format!("{path}/disable")).expect_problem(409, "last_admin");
        assert_eq!(server.audited("user_disabled"), 1);
        root.client.post_empty(&format!("/v1/admin/users/{}/enable", other.id)).expect(200);
        root.client.post_empty(&format!("{path}/disable")).expect(200);
        root.client.get("/v1/admin/users").expect_problem(401, "invalid_token");
    }

    fn who_loses_the_role_loses_the_routes_at_once(backend) {
        let server = start(backend);
        let root = admin(&server);
        let other = admin_called(&server, "other@example.com");
        assert_eq!(strip(&root, &other.id), 200);
        other.client.get("/v1/admin/users").expect_problem(403, "forbidden");
        assert_eq!(strip(&other, &root.id), 403);
    }

    fn of_two_who_remove_each_other_at_the_same_moment_one_is_left(backend) {
        let server = start(backend);
        for round in 0..10 {
            server.execute("UPDATE users SET roles = 'user'");
            let pair = [0, 1].map(|n| admin_called(&server, &format!("admin{round}-{n}@example.com")));
            type Way = fn(&Admin, &str) -> u16;
            let ways: [Way; 2] = if round % 2 == 0 { [disable, disable] } else { [disable, strip] };
            let barrier = std::sync::Barrier::new(4);
            let statuses: Vec<u16> = std::thread::scope(|scope| {
                let attempts = [(0, 1), (1, 0), (0, 0), (1, 1)].map(|(by, whom)| {
                    let (by, id, way, barrier) = (&pair[by], &pair[whom].id, ways[by], &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        way(by, id)
                    })
                });
                attempts.into_iter().map(|attempt| attempt.join().expect("answered")).collect()
            });
            assert_eq!(active_admins(&server), 1, "round {round}: {statuses:?}");
            assert!(statuses.iter().all(|status| [200, 401, 403, 409].contains(status)), "{statuses:?}");
            assert!(statuses.contains(&200), "{statuses:?}");
        }
    }
}
