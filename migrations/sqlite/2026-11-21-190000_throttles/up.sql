-- What was attempted too often. Rows are rewritten in place at every wrong password.
CREATE TABLE throttles (
    -- A digest of what is limited and for whom: no address, no e-mail address.
    id           blob    NOT NULL PRIMARY KEY,
    -- When all that was counted is forgotten; how long that is says how much is remembered.
    clear_at     integer NOT NULL,
    closed_until integer NOT NULL
) STRICT;

-- Where from, or with which device, an account was logged in to: what strangers do elsewhere does not hold these up.
CREATE TABLE known_sources (
    id      blob    NOT NULL PRIMARY KEY,
    user_id blob    NOT NULL REFERENCES users (id),
    -- address, device
    kind    text    NOT NULL,
    -- A digest of the address or of the device's token.
    source  blob    NOT NULL,
    seen_at integer NOT NULL
) STRICT;

CREATE UNIQUE INDEX known_sources_user_id_source ON known_sources (user_id, source);
