//! Mail: what waits, who sends it, and what happens when it cannot be sent. Over a real mail server: `interop::smtp`.

mod notices;
mod outbox;
