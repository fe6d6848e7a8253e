-- Times are the application's, so no column has a default of now().

CREATE TABLE users (
    id             uuid        NOT NULL PRIMARY KEY,
    email          text        NOT NULL,
    -- The address in the form that makes two spellings one: lower case, IDNA.
    email_key      text        NOT NULL CONSTRAINT users_email_key UNIQUE,
    name           text,
    password_hash  text        NOT NULL,
    -- Space-separated and sorted, like a scope.
    roles          text        NOT NULL,
    is_active      boolean     NOT NULL,
    is_verified    boolean     NOT NULL,
    -- Raised by each change of what the user may do; a session that carries another number reads the user again.
    access_version bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    last_login_at  timestamptz
);

-- One row per refresh-token family. Rotation rewrites it in place, so no column that a rotation changes may ever be
-- indexed, and each page keeps room for the next version of its rows (heap-only updates).
CREATE TABLE sessions (
    id              uuid        NOT NULL PRIMARY KEY,
    handle_digest   bytea       NOT NULL CONSTRAINT sessions_handle_digest UNIQUE,
    user_id         uuid        NOT NULL REFERENCES users (id),
    access_version  bigint      NOT NULL,
    secret_digest   bytea       NOT NULL,
    parent_digest   bytea,
    nonce           bytea,
    generation      bigint      NOT NULL,
    rotated_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    revoked_reason  text,
    client_id       text        NOT NULL,
    scope           text        NOT NULL,
    amr             text        NOT NULL,
    auth_time       timestamptz NOT NULL,
    address         text,
    user_agent      text,
    label           text
) WITH (fillfactor = 70);

-- A user's sessions, newest last (ids sort by time).
CREATE INDEX sessions_user_id ON sessions (user_id, id);
-- What may be purged: the absolute expiry never changes.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE audit_events (
    id         uuid        NOT NULL PRIMARY KEY,
    at         timestamptz NOT NULL,
    kind       text        NOT NULL,
    -- Whom it concerns and who did it; no foreign keys, because the trail outlives the people in it.
    subject    uuid,
    actor      uuid,
    session_id uuid,
    address    text,
    user_agent text,
    request_id text,
    detail     jsonb       NOT NULL
);

CREATE INDEX audit_events_subject ON audit_events (subject, id);
