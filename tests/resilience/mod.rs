//! What survives when something dies: the service, its database, the network between them.

mod crash;
mod disk;
mod network;
mod operators;
mod probes;
mod proxy;
mod rolling;
mod standstill;
mod versions;
