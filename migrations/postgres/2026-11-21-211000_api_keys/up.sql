-- Keys that users made for their programs. A key has one secret, and while it is being rotated a second one.
CREATE TABLE api_keys (
    id                  uuid        NOT NULL PRIMARY KEY,
    user_id             uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name                text        NOT NULL,
    -- What its text begins with, and a row is found by. It opens nothing without the secret, which is not here.
    handle              bytea       NOT NULL,
    secret_digest       bytea       NOT NULL,
    -- The secret before the last rotation, and until when it works.
    previous_digest     bytea,
    previous_expires_at timestamptz,
    scope               text        NOT NULL,
    created_at          timestamptz NOT NULL,
    -- When the secret in force was made.
    issued_at           timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    revoked_at          timestamptz,
    -- When that secret was first used: until then it may not have arrived where it is needed.
    secret_used_at      timestamptz,
    -- To the minute, as are refused attempts.
    last_used_at        timestamptz,
    last_refused_at     timestamptz
);

CREATE UNIQUE INDEX api_keys_handle ON api_keys (handle);
CREATE INDEX api_keys_user_id ON api_keys (user_id);

-- From where each key was used.
CREATE TABLE api_key_sources (
    id         uuid        NOT NULL PRIMARY KEY,
    api_key_id uuid        NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    source     text        NOT NULL,
    seen_at    timestamptz NOT NULL
);

CREATE UNIQUE INDEX api_key_sources_key_source ON api_key_sources (api_key_id, source);
