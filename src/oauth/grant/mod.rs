//! One file per grant type. A grant only says which session, or which API key, it leads to; the endpoint does what all
//! have in common.

pub(super) mod password;
pub(super) mod refresh_token;
pub(super) mod token_exchange;
