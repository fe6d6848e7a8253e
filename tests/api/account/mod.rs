mod change_email;
mod change_password;
mod forgot_password;
mod me;
mod register;
mod registration;
mod reset_password;
mod verify_email;
