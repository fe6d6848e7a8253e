//! An actix service that verifies our tokens with `jsonwebtoken`, in this process.

#[path = "clients/actix_app.rs"]
mod actix_app;

use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actix_web::{App, HttpServer};

use super::{AUDIENCE, service, sibling};
use crate::support::Backend;

/// The service that the README shows, stopped at the end of the test.
struct Serving {
    url: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

fn start(issuer: &str) -> Serving {
    let signet = Data::new(actix_app::Signet::new(issuer, AUDIENCE));
    let (ready, is_ready) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let app = move || App::new().app_data(signet.clone()).configure(actix_app::routes);
            let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").expect("a free port");
            let url = format!("http://{}", server.addrs()[0]);
            let server = server.run();
            ready.send((url, server.handle())).expect("the test waits");
            server.await.expect("the service ends well");
        });
    });
    let (url, handle) = is_ready.recv().expect("the service has started");
    Serving { url, handle, thread: Some(thread) }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The command is sent at once; the future only tells when it was obeyed, and so does the thread.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn an_actix_service_lets_in_the_bearer_of_a_genuine_token_only() {
    let server = service(Backend::Sqlite);
    let app = start(&server.url);
    sibling::lets_in_the_bearer_of_a_genuine_token_only(&server, &app.url);
    sibling::lets_administrators_only_into_the_office(&server, &app.url);
}

#[test]
fn an_actix_service_does_not_blame_the_caller_when_the_keys_cannot_be_fetched() {
    let server = service(Backend::Sqlite);
    let app = start(&sibling::nowhere());
    sibling::does_not_blame_the_caller_when_the_keys_cannot_be_fetched(&server, &app.url);
}
