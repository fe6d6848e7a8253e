//! What the database layer promises, on both databases: transactions, retries, the schema's history, loss and return.

mod gather;
mod heap_only;
mod migrations;
mod plans;
mod transactions;
mod upgrade;
