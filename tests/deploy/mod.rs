//! What `deploy/` and `docs/operations.md` promise: proxies, backups.

mod backup;
mod proxy;
mod restore;
