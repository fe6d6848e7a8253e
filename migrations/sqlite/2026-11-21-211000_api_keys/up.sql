-- Keys that users made for their programs. A key has one secret, and while it is being rotated a second one.
CREATE TABLE api_keys (
    id                  blob        NOT NULL PRIMARY KEY,
    user_id             blob        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name                text        NOT NULL,
    -- What its text begins with, and a row is found by. It opens nothing without the secret, which is not here.
    handle              blob        NOT NULL,
    secret_digest       blob        NOT NULL,
    -- The secret before the last rotation, and until when it works.
    previous_digest     blob,
    previous_expires_at integer,
    scope               text        NOT NULL,
    created_at          integer     NOT NULL,
    -- When the secret in force was made.
    issued_at           integer     NOT NULL,
    expires_at          integer     NOT NULL,
    revoked_at          integer,
    -- When that secret was first used: until then it may not have arrived where it is needed.
    secret_used_at      integer,
    -- To the minute, as are refused attempts.
    last_used_at        integer,
    last_refused_at     integer
) STRICT;

CREATE UNIQUE INDEX api_keys_handle ON api_keys (handle);
CREATE INDEX api_keys_user_id ON api_keys (user_id);

-- From where each key was used.
CREATE TABLE api_key_sources (
    id         blob        NOT NULL PRIMARY KEY,
    api_key_id blob        NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    source     text        NOT NULL,
    seen_at    integer     NOT NULL
) STRICT;

CREATE UNIQUE INDEX api_key_sources_key_source ON api_key_sources (api_key_id, source);
