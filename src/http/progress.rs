//! Ends connections on which nothing gets on.
//!
//! For a head that drips in byte by byte, and for a client that never reads its answers, the framework waits without end. It
//! has times for the first head of a connection and for the silence between two requests, which are not used: it looks at
//! them before it looks at the socket, so that after a standstill of the machine a request that has long arrived is answered
//! 408 without a body, which a client takes for the end of its session, or on a kept-alive connection not at all. So each
//! connection notes when a request was last begun or answered, and one task for each worker shuts down those that have been
//! without either for longer than an honest client needs.
//!
//! Time is counted in looks at the connections, one a second: while the machine stands still nobody looks, and whoever asked
//! meanwhile is heard before the next look.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_web::dev::Extensions;

/// What the last answer on a connection is given to be sent.
const TIME_TO_LEAVE: Duration = Duration::from_millis(100);
/// How often the connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a connection may be without progress: a number of looks.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    looks: u32,
}

impl Patience {
    /// So many seconds until the first head has arrived, and from an answer until the next has.
    pub const fn of_seconds(seconds: u32) -> Self {
        Self { looks: seconds }
    }
}

thread_local! {
    /// The connections of this worker.
    static WATCHED: RefCell<Vec<Weak<Progress>>> = const { RefCell::new(Vec::new()) };
    static IS_SWEEPING: Cell<bool> = const { Cell::new(false) };
}

/// What is known of a connection.
pub struct Progress {
    /// A second handle: the first is the framework's, which lends it to nobody.
    socket: TcpStream,
    is_answering: Cell<bool>,
    /// The last answer said that the connection ends with it.
    is_over: Cell<bool>,
    /// How often it was looked at since a request was last begun or answered; at first, since the connection was made.
    looks: Cell<u32>,
}

/// Whether a request may be served.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may.
    InTime,
    /// The connection ended with the answer before; whatever is answered to this goes nowhere.
    TooLate,
}

/// What to do with each new connection: watch it, and end it when it is without progress for too long.
pub fn watch(patience: Patience) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |io, extensions| {
        let Some(stream) = io.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
        // Without a handle to spare there are other worries; the framework's own times still hold.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let progress = Rc::new(Progress {
            socket: socket.into(),
            is_answering: Cell::new(false),
            is_over: Cell::new(false),
            looks: Cell::new(0),
        });
        WATCHED.with_borrow_mut(|watched| watched.push(Rc::downgrade(&progress)));
        extensions.insert(progress);
        if !IS_SWEEPING.replace(true) {
            drop(actix_web::rt::spawn(sweep(patience)));
        }
    }
}

async fn sweep(patience: Patience) {
    loop {
        actix_web::rt::time::sleep(SWEEP_INTERVAL).await;
        WATCHED.with_borrow_mut(|watched| {
            watched.retain(|connection| connection.upgrade().inspect(|open| open.end_if_stuck(patience)).is_some());
        });
    }
}

impl Progress {
    /// A request's head has arrived; what follows has times of its own.
    ///
    /// The framework may have read it before the answer that was to be the last on its connection, and would serve it
    /// nevertheless, which RFC 9112 §9.6 forbids. Then that answer is given the time to leave, and the connection ended.
    pub async fn begin(&self) -> Begun {
        self.is_answering.set(true);
        if !self.is_over.get() {
            return Begun::InTime;
        }
        actix_web::rt::time::sleep(TIME_TO_LEAVE).await;
        let _ = self.socket.shutdown(Shutdown::Both);
        Begun::TooLate
    }

    /// Its answer is on the way, and is the last one or not.
    pub fn answered(&self, is_last: bool) {
        self.is_answering.set(false);
        self.is_over.set(self.is_over.get() || is_last);
        self.looks.set(0);
    }

    fn end_if_stuck(&self, patience: Patience) {
        if self.is_answering.get() {
            return;
        }
        let looks = self.looks.get().saturating_add(1);
        self.looks.set(looks);
        if looks > patience.looks {
            // An error means that the other side was quicker.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
    }
}
