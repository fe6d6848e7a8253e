//! The tables as Diesel sees them; `migrations/` is what makes them.

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, Text};
    use crate::db::types::{Key, Moment};

    users (id) {
        id -> Key,
        email -> Text,
        email_key -> Text,
        name -> Nullable<Text>,
        password_hash -> Text,
        roles -> Text,
        is_active -> Bool,
        is_verified -> Bool,
        access_version -> BigInt,
        created_at -> Moment,
        last_login_at -> Nullable<Moment>,
        disabled_until -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use crate::db::types::{Key, Moment};

    sessions (id) {
        id -> Key,
        handle_digest -> Binary,
        user_id -> Key,
        access_version -> BigInt,
        secret_digest -> Binary,
        parent_digest -> Nullable<Binary>,
        nonce -> Nullable<Binary>,
        generation -> BigInt,
        rotated_at -> Moment,
        created_at -> Moment,
        idle_expires_at -> Moment,
        expires_at -> Moment,
        revoked_at -> Nullable<Moment>,
        revoked_reason -> Nullable<Text>,
        client_id -> Text,
        scope -> Text,
        amr -> Text,
        auth_time -> Moment,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        label -> Nullable<Text>,
        actor_id -> Nullable<Key>,
        actor_session_id -> Nullable<Key>,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::db::types::{Json, Key, Moment};

    audit_events (id) {
        id -> Key,
        at -> Moment,
        kind -> Text,
        subject -> Nullable<Key>,
        actor -> Nullable<Key>,
        session_id -> Nullable<Key>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        request_id -> Nullable<Text>,
        detail -> Json,
    }
}

diesel::table! {
    use diesel::sql_types::Binary;
    use crate::db::types::Moment;

    throttles (id) {
        id -> Binary,
        clear_at -> Moment,
        closed_until -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use crate::db::types::{Key, Moment};

    known_sources (id) {
        id -> Key,
        user_id -> Key,
        kind -> Text,
        source -> Binary,
        seen_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, Text};
    use crate::db::types::{Key, Moment};

    outbox (id) {
        id -> Key,
        kind -> Text,
        user_id -> Nullable<Key>,
        email -> Text,
        once_key -> Nullable<Text>,
        created_at -> Moment,
        due_at -> Moment,
        attempts -> BigInt,
        asked_again -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Bool, Text};
    use crate::db::types::{Key, Moment};

    one_time_tokens (id) {
        id -> Key,
        user_id -> Key,
        purpose -> Text,
        digest -> Binary,
        by_mail -> Bool,
        issued_at -> Moment,
        expires_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Bool, Text};
    use crate::db::types::{Key, Moment};

    email_changes (id) {
        id -> Key,
        user_id -> Key,
        email -> Text,
        email_key -> Text,
        old_confirmed -> Bool,
        new_confirmed -> Bool,
        expires_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Bool, Text};
    use crate::db::types::{Key, Moment};

    invitations (id) {
        id -> Key,
        email_key -> Text,
        digest -> Binary,
        by_mail -> Bool,
        issued_at -> Moment,
        expires_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::Binary;
    use crate::db::types::Moment;

    idempotency_keys (id) {
        id -> Binary,
        request -> Binary,
        answer -> Binary,
        expires_at -> Moment,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(users, sessions);
diesel::allow_tables_to_appear_in_same_query!(users, known_sources);
