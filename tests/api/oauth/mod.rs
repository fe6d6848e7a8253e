mod metadata;
mod token;
mod token_exchange;
