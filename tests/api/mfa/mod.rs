//! Second factors and step-up.

mod hostile;
mod login;
mod notices;
mod reseal;
mod step_up;
mod totp;

use crate::support::phone::{self, Phone};
use crate::support::{Answer, Backend, Client, Server};

/// A service that offers second factors.
fn start(backend: Backend) -> Server {
    Server::start_with(backend, phone::switch_on)
}

/// Ada, who has added an app: her session and her phone.
fn with_phone(server: &Server) -> (Answer, Phone) {
    let session = server.client().register("ada@example.com");
    let phone = Phone::add(server, &bearer(server, &session));
    (session, phone)
}

fn bearer(server: &Server, session: &Answer) -> Client {
    server.client().bearer(&session.access_token())
}
