//! Which columns of the database name a user: asked of the database, so that no new table is forgotten.

use super::{Backend, Server};

/// A column that names a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Naming {
    pub table: String,
    pub column: String,
}

/// All of them but the user's own id.
pub fn columns(server: &Server, backend: Backend) -> Vec<Naming> {
    const NAMES: &str = "(c.name LIKE '%user_id%' OR c.name IN ('subject', 'actor'))";
    let sql = match backend {
        Backend::Sqlite => format!(
            "SELECT t.name || ' ' || c.name AS value FROM sqlite_master AS t, pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND ({NAMES} OR EXISTS (SELECT 1 FROM pragma_foreign_key_list(t.name) AS f \
             WHERE f.\"table\" = 'users' AND f.\"from\" = c.name)) ORDER BY 1"
        ),
        Backend::Postgres => format!(
            "SELECT t.relname || ' ' || c.name AS value FROM pg_class AS t \
             JOIN (SELECT attrelid, attname::text AS name, attnum FROM pg_attribute WHERE attnum > 0) AS c ON c.attrelid = t.oid \
             WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace AND ({NAMES} OR EXISTS \
             (SELECT 1 FROM pg_constraint AS f WHERE f.conrelid = t.oid AND f.confrelid = 'users'::regclass \
             AND f.conkey = ARRAY[c.attnum])) ORDER BY 1"
        ),
    };
    let found: Vec<Naming> = server
        .query_texts(&sql)
        .iter()
        .map(|row| {
            let (table, column) = row.split_once(' ').expect("two words");
            Naming { table: table.to_owned(), column: column.to_owned() }
        })
        .collect();
    assert!(found.len() >= 7, "{found:?}");
    found
}

/// How many rows name the user there.
pub fn count(server: &Server, backend: Backend, naming: &Naming, user: &str) -> i64 {
    let Naming { table, column } = naming;
    let id = match backend {
        Backend::Sqlite => format!("x'{}'", user.replace('-', "")),
        Backend::Postgres => format!("'{user}'"),
    };
    server.count(&format!("{table} WHERE {column} = {id}"))
}
