//! What `deploy/` and `docs/operations.md` promise, tried with the programs that it is for: proxies, backups, upgrades, a
//! Prometheus and its dashboard.

mod backup;
mod dashboard;
mod prometheus;
mod proxy;
mod restore;
mod upgrade;
