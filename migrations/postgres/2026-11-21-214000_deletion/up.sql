-- A deleted account is an inactive one with a time at which its row goes; until then it can be brought back.
ALTER TABLE users ADD COLUMN
    purge_at timestamptz;
-- Of a deleted account: whether it was active before, so that bringing it back lets nobody in who was disabled.
ALTER TABLE users ADD COLUMN
    was_active boolean;

CREATE INDEX users_purge_at ON users (purge_at) WHERE purge_at IS NOT NULL;
