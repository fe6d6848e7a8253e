//! What `deploy/` and `docs/operations.md` promise: proxies, backups.

mod backup;
mod restore;
