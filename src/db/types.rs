//! Column types that differ between the databases: an id is `uuid` / 16-byte BLOB, a time `timestamptz` / integer
//! microseconds, a document `jsonb` / TEXT.  Everything else is the same SQL type on both.

use std::io::Write;

use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, SqlType, Text};
use diesel::sqlite::Sqlite;

use crate::clock::Timestamp;

/// The SQL type of an id.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
pub struct Key;

/// The SQL type of a [`Timestamp`].
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
pub struct Moment;

/// The SQL type of a [`Document`].
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub struct Json;

/// Postgres counts from 2000-01-01, the application from 1970-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl ToSql<Moment, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let micros = self.as_micros() - POSTGRES_EPOCH_MICROS;
        ToSql::<BigInt, Pg>::to_sql(&micros, &mut out.reborrow())
    }
}

impl FromSql<Moment, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Pg>>::from_sql(value)?;
        Ok(Self::from_micros(micros.saturating_add(POSTGRES_EPOCH_MICROS)))
    }
}

impl ToSql<Moment, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.as_micros());
        Ok(IsNull::No)
    }
}

impl FromSql<Moment, Sqlite> for Timestamp {
    fn from_sql(value: <Sqlite as diesel::backend::Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::from_micros(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?))
    }
}

/// Defines a UUID that names one kind of thing, so that a user's id cannot be taken for a session's.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = $crate::db::types::Key)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A new one (UUIDv7) that sorts by `now`.
            pub fn new(now: $crate::clock::Timestamp) -> Self {
                Self($crate::random::uuid_v7(now))
            }

            /// Sorts before every one that was made at `time` or later.
            pub fn least(time: $crate::clock::Timestamp) -> Self {
                Self($crate::random::least_uuid_v7(time))
            }

            /// When it was made, to the millisecond.
            pub fn time(self) -> $crate::clock::Timestamp {
                $crate::db::types::time_of(self.0)
            }

            /// The sixteen bytes of it.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $crate::field::FromField for $name {
            fn from_text(text: String) -> Result<Self, $crate::field::Invalid> {
                text.parse().map_err(|_| $crate::field::Invalid::new("malformed", "this is not an id"))
            }

            fn schema() -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": "uuid"})
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            /// One spelling only: not the braced, URN and unhyphenated ones that the crate would take as well.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<uuid::fmt::Hyphenated>().map(|id| Self(id.into_uuid()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": "uuid"})
            }
        }

        impl diesel::serialize::ToSql<$crate::db::types::Key, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                $crate::db::types::write_key_pg(self.0, out)
            }
        }

        impl diesel::serialize::ToSql<$crate::db::types::Key, diesel::sqlite::Sqlite> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::sqlite::Sqlite>,
            ) -> diesel::serialize::Result {
                out.set_value(self.0.as_bytes().as_slice());
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<$crate::db::types::Key, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                Ok(Self(uuid::Uuid::from_slice(value.as_bytes())?))
            }
        }

        impl diesel::deserialize::FromSql<$crate::db::types::Key, diesel::sqlite::Sqlite> for $name {
            fn from_sql(
                value: <diesel::sqlite::Sqlite as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                $crate::db::types::read_key_sqlite(value).map(Self)
            }
        }
    };
}
pub(crate) use id;

/// The first 48 bits of a UUIDv7 are milliseconds (RFC 9562 §5.7).
pub(crate) fn time_of(id: uuid::Uuid) -> Timestamp {
    let millis = (id.as_u128() >> 80) as i64;
    Timestamp::from_micros(millis * 1_000)
}

pub(crate) fn write_key_pg(id: uuid::Uuid, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
    out.write_all(id.as_bytes())?;
    Ok(IsNull::No)
}

pub(crate) fn read_key_sqlite(
    value: <Sqlite as diesel::backend::Backend>::RawValue<'_>,
) -> deserialize::Result<uuid::Uuid> {
    let bytes = <Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?;
    Ok(uuid::Uuid::from_slice(&bytes)?)
}

/// A JSON document in a column.
#[derive(Clone, Debug, PartialEq, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
#[diesel(sql_type = Json)]
pub struct Document(pub serde_json::Value);

/// The first byte of `jsonb` on the wire is its version.
const JSONB_VERSION: u8 = 1;

impl ToSql<Json, Pg> for Document {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[JSONB_VERSION])?;
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Pg> for Document {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            [JSONB_VERSION, json @ ..] => Ok(Self(serde_json::from_slice(json)?)),
            _ => Err("a jsonb version that this release does not know".into()),
        }
    }
}

impl ToSql<Json, Sqlite> for Document {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Sqlite> for Document {
    fn from_sql(value: <Sqlite as diesel::backend::Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}

/// Lets a newtype over text be a TEXT column: it is written by `as_str` and read by its own parser.
macro_rules! text_column {
    ($name:ident) => {
        impl<DB: diesel::backend::Backend> diesel::serialize::ToSql<diesel::sql_types::Text, DB> for $name
        where
            str: diesel::serialize::ToSql<diesel::sql_types::Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
                self.as_str().to_sql(out)
            }
        }

        impl<DB: diesel::backend::Backend> diesel::deserialize::FromSql<diesel::sql_types::Text, DB> for $name
        where
            String: diesel::deserialize::FromSql<diesel::sql_types::Text, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let text = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, DB>>::from_sql(value)?;
                Self::from_column(text).map_err(Into::into)
            }
        }
    };
}
pub(crate) use text_column;

/// Defines a newtype over bytes that is a BYTEA / BLOB column.
macro_rules! bytes_column {
    ($(#[$meta:meta])* $outer:vis struct $name:ident($inner:vis [u8; $length:expr]);) => {
        $(#[$meta])*
        #[derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Binary)]
        $outer struct $name($inner [u8; $length]);

        impl<DB: diesel::backend::Backend> diesel::serialize::ToSql<diesel::sql_types::Binary, DB> for $name
        where
            [u8]: diesel::serialize::ToSql<diesel::sql_types::Binary, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
                self.0.as_slice().to_sql(out)
            }
        }

        impl<DB: diesel::backend::Backend> diesel::deserialize::FromSql<diesel::sql_types::Binary, DB> for $name
        where
            Vec<u8>: diesel::deserialize::FromSql<diesel::sql_types::Binary, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let bytes = <Vec<u8> as diesel::deserialize::FromSql<diesel::sql_types::Binary, DB>>::from_sql(value)?;
                let bytes: [u8; $length] = bytes.try_into().map_err(|_| "a digest of another length")?;
                Ok(Self(bytes))
            }
        }
    };
}
pub(crate) use bytes_column;
