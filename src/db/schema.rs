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
        purge_at -> Nullable<Moment>,
        was_active -> Nullable<Bool>,
        has_second_factor -> Bool,
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
        address -> Nullable<Text>,
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
    use diesel::sql_types::{Binary, Nullable, Text};
    use crate::db::types::{Key, Moment};

    api_keys (id) {
        id -> Key,
        user_id -> Key,
        name -> Text,
        handle -> Binary,
        secret_digest -> Binary,
        previous_digest -> Nullable<Binary>,
        previous_expires_at -> Nullable<Moment>,
        scope -> Text,
        created_at -> Moment,
        issued_at -> Moment,
        expires_at -> Moment,
        revoked_at -> Nullable<Moment>,
        secret_used_at -> Nullable<Moment>,
        last_used_at -> Nullable<Moment>,
        last_refused_at -> Nullable<Moment>,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use crate::db::types::{Key, Moment};

    api_key_sources (id) {
        id -> Key,
        api_key_id -> Key,
        source -> Text,
        seen_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use crate::db::types::{Key, Moment};

    audit_seals (position) {
        position -> BigInt,
        event_id -> Key,
        digest -> Binary,
        sealed_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use crate::db::types::Moment;

    audit_anchors (id) {
        id -> BigInt,
        position -> BigInt,
        digest -> Binary,
        removed_before -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Bool, Nullable, Text};
    use crate::db::types::{Key, Moment};

    webhook_endpoints (id) {
        id -> Key,
        url -> Text,
        description -> Nullable<Text>,
        event_types -> Text,
        secret -> Binary,
        previous_secret -> Nullable<Binary>,
        previous_expires_at -> Nullable<Moment>,
        is_enabled -> Bool,
        disabled_reason -> Nullable<Text>,
        created_at -> Moment,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::db::types::{Key, Moment};

    webhook_deliveries (endpoint_id, event_id) {
        endpoint_id -> Key,
        event_id -> Key,
        body -> Text,
        event_type -> Text,
        state -> Text,
        attempts -> BigInt,
        due_at -> Nullable<Moment>,
        created_at -> Moment,
        last_attempt_at -> Nullable<Moment>,
        last_outcome -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable};
    use crate::db::types::{Key, Moment};

    totp_factors (id) {
        id -> Key,
        user_id -> Key,
        key_id -> Binary,
        sealed -> Binary,
        created_at -> Moment,
        confirmed_at -> Nullable<Moment>,
        last_step -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::Binary;
    use crate::db::types::Key;

    recovery_codes (user_id, digest) {
        user_id -> Key,
        digest -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
    use crate::db::types::{Key, Moment};

    mfa_challenges (id) {
        id -> Key,
        user_id -> Key,
        digest -> Binary,
        password_digest -> Binary,
        client_id -> Text,
        scope -> Text,
        label -> Nullable<Text>,
        wants_device -> Bool,
        browser_mode -> Bool,
        attempts -> BigInt,
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

// No table: the name that a statement of several parts gives to its first. It has the user's row, or none.
diesel::table! {
    use crate::db::types::Key;

    entered (id) {
        id -> Key,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(api_keys -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(users, api_keys, api_key_sources);
diesel::allow_tables_to_appear_in_same_query!(users, sessions);
diesel::allow_tables_to_appear_in_same_query!(users, known_sources);
diesel::allow_tables_to_appear_in_same_query!(users, throttles);
diesel::allow_tables_to_appear_in_same_query!(audit_events, audit_seals);
diesel::allow_tables_to_appear_in_same_query!(webhook_endpoints, webhook_deliveries);
