mod change_password;
mod me;
mod register;
