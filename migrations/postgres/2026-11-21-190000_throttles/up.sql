-- What was attempted too often. Rows are rewritten in place at every wrong password and never indexed by what changes, so
-- each page keeps room for their next version (heap-only updates).
CREATE TABLE throttles (
    -- A digest of what is limited and for whom: no address, no e-mail address.
    id           bytea       NOT NULL PRIMARY KEY,
    -- When all that was counted is forgotten; how long that is says how much is remembered.
    clear_at     timestamptz NOT NULL,
    closed_until timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Where from, or with which device, an account was logged in to: what strangers do elsewhere does not hold these up.
CREATE TABLE known_sources (
    id      uuid        NOT NULL PRIMARY KEY,
    user_id uuid        NOT NULL REFERENCES users (id),
    -- address, device
    kind    text        NOT NULL,
    -- A digest of the address or of the device's token.
    source  bytea       NOT NULL,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 90);

CREATE UNIQUE INDEX known_sources_user_id_source ON known_sources (user_id, source);
