//! `GET /v1/admin/roles` — the roles that the configuration knows, and what scope each carries. They are configuration: nothing
//! here changes one. `signet roles` prints the same.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;

use crate::access::rights::Rights;
use crate::access::scope::Scope;
use crate::app::App;
use crate::http::bearer::Admin;
use crate::http::openapi::{Operation, Tag};

/// A role.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct RoleItem {
    pub(crate) role: String,
    /// What it carries besides what everybody has.
    pub(crate) scope: Scope,
}

/// The roles that carry anything. A user may have others, which mean what services make of them.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct RoleList {
    /// What every user has, whatever their roles are.
    pub(crate) of_everybody: Scope,
    /// In the order of their names.
    pub(crate) roles: Vec<RoleItem>,
}

impl RoleList {
    pub(crate) fn of(rights: &Rights) -> Self {
        let item = |(role, scope): (&str, &Scope)| RoleItem { role: role.to_owned(), scope: scope.clone() };
        Self { of_everybody: rights.of_everybody().clone(), roles: rights.of_roles().map(item).collect() }
    }
}

/// Answers 200 with all of them.
pub async fn handle(app: Data<App>, _: Admin) -> HttpResponse {
    HttpResponse::Ok().json(RoleList::of(&app.rights))
}

/// What the API description says.
pub fn describe() -> Operation {
    Operation::new(Tag::Admin, "list_roles", "The roles, and what they carry")
        .answers::<RoleList>(StatusCode::OK, "All roles of the configuration.")
}
