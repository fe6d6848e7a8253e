//! Refreshes that come at the same time are answered by one statement, each as if it were alone.

use std::sync::Arc;

use futures_util::future::join_all;
use signet::app::App;
use signet::error::{Error, Result};
use signet::http::origin::Origin;
use signet::session::Grant;
use signet::session::refresh::{Conditions, refresh};
use signet::session::token::RefreshToken;

use super::races::{NEW_ROLES, during};
use crate::support::{Backend, PASSWORD, Server, json, on_both};

const SESSIONS: usize = 20;

on_both! {
    fn each_gets_what_it_would_get_alone(backend) {
        let world = World::start(backend);
        let [current, raced, rotated, stale, other_client, disabled, ended, promoted] =
            std::array::from_fn(|index| world.session(&format!("user{index}@example.com")));
        let successor = world.alone(&rotated).expect("the newest token").refresh_token;
        let second = world.alone(&stale).expect("the newest token").refresh_token;
        let third = world.alone(&second).expect("the newest token").refresh_token;
        world.server.execute("UPDATE users SET is_active = false WHERE email = 'user5@example.com'");
        world.server.execute(&format!(
            "UPDATE sessions SET revoked_at = created_at WHERE user_id = ({})",
            "SELECT id FROM users WHERE email = 'user6@example.com'"
        ));
        world.server.execute("UPDATE users SET roles = 'admin user' WHERE email = 'user7@example.com'");

        let own = Conditions { client_id: Some("signet".to_owned()), ..Conditions::default() };
        let others = Conditions { client_id: Some("another".to_owned()), ..Conditions::default() };
        let any = Conditions::default;
        let unknown = RefreshToken::generate();
        let asked = [
            (&current, own), (&raced, any()), (&raced, any()), (&rotated, any()), (&stale, any()), (&other_client, others),
            (&disabled, any()), (&ended, any()), (&promoted, any()), (&unknown, any()),
        ];
        let granted = world.together(asked.map(|(token, conditions)| (token.clone(), conditions)));
        let refused = |place: usize| matches!(granted[place], Err(Error::InvalidGrant));
        let token = |place: usize| &granted[place].as_ref().expect("a grant").refresh_token;

        assert!(*token(0) != current && world.alone(token(0)).is_ok(), "the current token is rotated");
        assert!(token(1) == token(2), "of two with one token both get the one successor");
        assert!(*token(3) == successor, "what came again gets the same successor");
        assert!(refused(4) && world.alone(&third).is_err(), "a stale token ends its family");
        assert!(refused(5) && world.alone(&other_client).is_ok(), "another's client uses nothing up");
        assert!(refused(6) && refused(7) && refused(9), "disabled, ended, unknown");
        let roles = granted[8].as_ref().expect("a grant").roles.to_string();
        assert_eq!(roles, "admin user", "the roles are those of now");
    }

    fn whoever_had_to_wait_for_a_change_of_roles_carries_the_new_ones(backend) {
        let world = World::start(backend);
        let tokens = ["ada@example.com", "bob@example.com"].map(|email| world.session(email));
        let asked = || world.together(tokens.clone().map(|token| (token, Conditions::default())));
        for granted in during(&world.server, &NEW_ROLES, asked) {
            assert_eq!(granted.expect("a grant").roles.to_string(), "admin user");
        }
    }

    fn many_take_few_statements_and_each_goes_on(backend) {
        let world = World::start(backend);
        let mut tokens: Vec<RefreshToken> = (0..SESSIONS).map(|n| world.session(&format!("user{n}@example.com"))).collect();
        for _ in 0..3 {
            let granted = world.together(tokens.into_iter().map(|token| (token, Conditions::default())));
            tokens = granted.into_iter().map(|granted| granted.expect("a grant").refresh_token).collect();
        }
        let generations = world.server.query_number("SELECT CAST(SUM(generation) AS BIGINT) AS value FROM sessions");
        assert_eq!(usize::try_from(generations), Ok(3 * SESSIONS));
        let statements = world.app.metrics.database_transactions.with_label_values(&["session.rotate"]);
        assert!(statements.get_sample_count() <= 9, "{} statements", statements.get_sample_count());
    }
}

/// The library beside a server that shares its database and its clock.
struct World {
    server: Server,
    app: Arc<App>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn start(backend: Backend) -> Self {
        let server = Server::start(backend);
        let app = App::build(server.config.clone(), server.clock.clone()).expect("builds");
        // One thread, so that all that is begun together waits before the first is answered.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { server, app: Arc::new(app), runtime }
    }

    fn session(&self, email: &str) -> RefreshToken {
        let body = json!({"email": email, "password": PASSWORD});
        let session = self.server.client().post("/v1/auth/register", &body).expect(201);
        RefreshToken::parse(&session.refresh_token()).expect("a token")
    }

    fn alone(&self, token: &RefreshToken) -> Result<Grant> {
        self.runtime.block_on(refresh(&self.app, token.clone(), Conditions::default(), Origin::default()))
    }

    fn together(&self, asked: impl IntoIterator<Item = (RefreshToken, Conditions)>) -> Vec<Result<Grant>> {
        let refreshed =
            asked.into_iter().map(|(token, conditions)| refresh(&self.app, token, conditions, Origin::default()));
        self.runtime.block_on(join_all(refreshed))
    }
}
