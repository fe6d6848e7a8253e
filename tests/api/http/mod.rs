mod bodies;
mod cookie;
mod errors;
mod health;
mod metrics;
