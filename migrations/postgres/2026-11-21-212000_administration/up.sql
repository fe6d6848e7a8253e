-- Until when a disabled user is so: from then on they may log in again, which is what clears it. NULL: until somebody enables them.
ALTER TABLE users ADD COLUMN
    disabled_until timestamptz;

-- A session in which an administrator acts for its user: who that is, and the session of theirs that it ends with. Neither is
-- ever changed.
ALTER TABLE sessions ADD COLUMN
    actor_id uuid;
ALTER TABLE sessions ADD COLUMN
    actor_session_id uuid;

-- Users by the beginning of their address, or of their name. Byte by byte: no other order makes a prefix a range.
CREATE INDEX users_email_order ON users (email_key COLLATE "C"); -- Postgres only: SQLite's unique index is in that order
CREATE INDEX users_name_order ON users (lower(name COLLATE "C"), id);
-- Administrators: few among many, and to be locked whenever one of them is to be none any more. An equation, since Postgres
-- takes one to be rarely true, and what is unequal for the rule.
CREATE INDEX users_admins ON users (id)
    WHERE length(replace(' ' || roles || ' ', ' admin ', '')) = length(roles) - 5;

-- What a request that may come again was answered.
CREATE TABLE idempotency_keys (
    -- A digest of the caller and their key.
    id         bytea       NOT NULL PRIMARY KEY,
    -- A digest of the request that came with it.
    request    bytea       NOT NULL,
    -- The answer, encrypted with a key that is derived from the caller's and stored nowhere.
    answer     bytea       NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);
