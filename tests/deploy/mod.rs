//! What `deploy/` and `docs/operations.md` promise: proxies, backups, upgrades.

mod backup;
mod proxy;
mod restore;
mod upgrade;
