-- Whether a right password is only half of a log-in. In the row that a log-in writes, so that no log-in passes by a factor
-- that is added meanwhile.
ALTER TABLE users
    ADD COLUMN has_second_factor boolean NOT NULL DEFAULT false;

-- The secret that a user's authenticator app has: one for each user, and nothing until it is confirmed.
CREATE TABLE totp_factors (
    id           uuid        NOT NULL PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    -- Which of the configured keys the secret is sealed with.
    key_id       bytea       NOT NULL,
    sealed       bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    -- The last step whose code was accepted: neither it nor any before it is accepted again.
    last_step    bigint      NOT NULL
);

CREATE UNIQUE INDEX totp_factors_user ON totp_factors (user_id);

-- Digests of the codes that are left; using one removes it.
CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users (id),
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Log-ins whose password was right and whose code is to come, with what they asked for.
CREATE TABLE mfa_challenges (
    id              uuid        NOT NULL PRIMARY KEY,
    user_id         uuid        NOT NULL REFERENCES users (id),
    digest          bytea       NOT NULL,
    -- Of the password's hash: another password voids it.
    password_digest bytea       NOT NULL,
    client_id       text        NOT NULL,
    scope           text        NOT NULL,
    label           text,
    wants_device    boolean     NOT NULL,
    browser_mode    boolean     NOT NULL,
    attempts        bigint      NOT NULL,
    expires_at      timestamptz NOT NULL
);

CREATE UNIQUE INDEX mfa_challenges_digest ON mfa_challenges (digest);
