//! What the database layer promises, on both databases: transactions, retries, the schema's history, loss and return.

mod migrations;
mod transactions;
mod upgrade;
