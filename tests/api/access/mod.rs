//! What callers may do.

mod rights;
