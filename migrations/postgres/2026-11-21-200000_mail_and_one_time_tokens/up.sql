-- Mails that wait to be sent. A row says what the mail is about and to whom it goes; the token in it is made when it is sent.
CREATE TABLE outbox (
    id          uuid        NOT NULL PRIMARY KEY,
    kind        text        NOT NULL,
    -- Where the address alone does not say whom it concerns.
    user_id     uuid,
    email       text        NOT NULL,
    -- Kind and address of a mail that need not wait twice.
    once_key    text,
    created_at  timestamptz NOT NULL,
    -- When it is to be sent, or tried again.
    due_at      timestamptz NOT NULL,
    attempts    bigint      NOT NULL,
    -- Asked for once more since the last attempt began.
    asked_again boolean     NOT NULL
);

CREATE UNIQUE INDEX outbox_once_key ON outbox (once_key);
CREATE INDEX outbox_due_at ON outbox (due_at);

-- At most one for each purpose and user; using one removes it.
CREATE TABLE one_time_tokens (
    id         uuid        NOT NULL PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id),
    purpose    text        NOT NULL,
    digest     bytea       NOT NULL,
    -- Whether it was sent to the user's address, so that whoever has it reads mail there.
    by_mail    boolean     NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE UNIQUE INDEX one_time_tokens_user_purpose ON one_time_tokens (user_id, purpose);
CREATE UNIQUE INDEX one_time_tokens_digest ON one_time_tokens (digest);

-- A change of address that waits for both addresses to agree: one for each user.
CREATE TABLE email_changes (
    id            uuid        NOT NULL PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users (id),
    email         text        NOT NULL,
    email_key     text        NOT NULL,
    old_confirmed boolean     NOT NULL,
    new_confirmed boolean     NOT NULL,
    expires_at    timestamptz NOT NULL
);

CREATE UNIQUE INDEX email_changes_user ON email_changes (user_id);

-- Who may register where nobody else may.
CREATE TABLE invitations (
    id         uuid        NOT NULL PRIMARY KEY,
    email_key  text        NOT NULL,
    digest     bytea       NOT NULL,
    by_mail    boolean     NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE UNIQUE INDEX invitations_email_key ON invitations (email_key);
