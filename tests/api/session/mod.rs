mod list;
mod login;
mod logout;
mod refresh;
mod revoke;
