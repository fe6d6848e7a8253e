-- Times are the application's, in microseconds since 1970; ids are the sixteen bytes of a UUID. STRICT: SQLite checks the types.

CREATE TABLE users (
    id             blob        NOT NULL PRIMARY KEY,
    email          text        NOT NULL,
    -- The address in the form that makes two spellings one: lower case, IDNA.
    email_key      text        NOT NULL CONSTRAINT users_email_key UNIQUE,
    name           text,
    password_hash  text        NOT NULL,
    -- Space-separated and sorted, like a scope.
    roles          text        NOT NULL,
    is_active      integer     NOT NULL,
    is_verified    integer     NOT NULL,
    -- Raised by each change of what the user may do; a session that carries another number reads the user again.
    access_version integer      NOT NULL,
    created_at     integer     NOT NULL,
    last_login_at  integer
) STRICT;

-- One row per refresh-token family. Rotation rewrites it in place, so no column that a rotation changes may ever be indexed.
CREATE TABLE sessions (
    id              blob        NOT NULL PRIMARY KEY,
    handle_digest   blob        NOT NULL CONSTRAINT sessions_handle_digest UNIQUE,
    user_id         blob        NOT NULL REFERENCES users (id),
    access_version  integer      NOT NULL,
    secret_digest   blob        NOT NULL,
    parent_digest   blob,
    nonce           blob,
    generation      integer      NOT NULL,
    rotated_at      integer     NOT NULL,
    created_at      integer     NOT NULL,
    idle_expires_at integer     NOT NULL,
    expires_at      integer     NOT NULL,
    revoked_at      integer,
    revoked_reason  text,
    client_id       text        NOT NULL,
    scope           text        NOT NULL,
    amr             text        NOT NULL,
    auth_time       integer     NOT NULL,
    address         text,
    user_agent      text,
    label           text
) STRICT;

-- A user's sessions, newest last (ids sort by time).
CREATE INDEX sessions_user_id ON sessions (user_id, id);
-- What may be purged: the absolute expiry never changes.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE audit_events (
    id         blob        NOT NULL PRIMARY KEY,
    at         integer     NOT NULL,
    kind       text        NOT NULL,
    -- Whom it concerns and who did it; no foreign keys, because the trail outlives the people in it.
    subject    blob,
    actor      blob,
    session_id blob,
    address    text,
    user_agent text,
    request_id text,
    detail     text        NOT NULL
) STRICT;

CREATE INDEX audit_events_subject ON audit_events (subject, id);
