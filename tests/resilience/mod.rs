//! What survives when something dies: the service, its database, the network between them.

mod crash;
mod network;
mod proxy;
mod versions;
