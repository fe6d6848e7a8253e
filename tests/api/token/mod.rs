mod issue;
mod jwks;
mod verify;
