-- The trail by who did it and by what was done, newest first. By whom it concerns there is an index already, by time the ids.
CREATE INDEX audit_events_actor ON audit_events (actor, id) WHERE actor IS NOT NULL;
CREATE INDEX audit_events_kind ON audit_events (kind, id);

-- The chain over the trail: a row for each event, written after it, by one job. Each digest covers the one before.
CREATE TABLE audit_seals (
    position  integer     NOT NULL PRIMARY KEY,
    event_id  blob        NOT NULL,
    digest    blob        NOT NULL,
    sealed_at integer     NOT NULL
) STRICT;

CREATE UNIQUE INDEX audit_seals_event_id ON audit_seals (event_id);

-- Where the chain begins since retention has taken what was before: one row at most.
CREATE TABLE audit_anchors (
    id             integer     NOT NULL PRIMARY KEY,
    -- Position and digest of the last seal that was removed.
    position       integer     NOT NULL,
    digest         blob        NOT NULL,
    -- No event that is younger may be deleted.
    removed_before integer     NOT NULL
) STRICT;

-- Who wants to be told of events.
CREATE TABLE webhook_endpoints (
    id                  blob        NOT NULL PRIMARY KEY,
    url                 text        NOT NULL,
    description         text,
    -- Space-separated, with a space at either end; empty: all.
    event_types         text        NOT NULL,
    secret              blob        NOT NULL,
    -- Signs too, until it has expired.
    previous_secret     blob,
    previous_expires_at integer,
    is_enabled          integer     NOT NULL,
    disabled_reason     text,
    created_at          integer     NOT NULL
) STRICT;

-- What each of them is to be told, written in the transaction of the event.
CREATE TABLE webhook_deliveries (
    endpoint_id     blob        NOT NULL REFERENCES webhook_endpoints (id),
    event_id        blob        NOT NULL,
    -- The bytes that are signed.
    body            text        NOT NULL,
    event_type      text        NOT NULL,
    -- pending, delivered, dead
    state           text        NOT NULL,
    attempts        integer     NOT NULL,
    -- When the next attempt may be made; nothing, if none will.
    due_at          integer,
    created_at      integer     NOT NULL,
    last_attempt_at integer,
    -- A status of HTTP, or why there was none.
    last_outcome    text,
    PRIMARY KEY (endpoint_id, event_id)
) STRICT;

CREATE INDEX webhook_deliveries_due_at ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_event_id ON webhook_deliveries (event_id);

-- What a notice says of where something was done from.
ALTER TABLE outbox ADD COLUMN address text;

-- Triggers, in each database's own language. They keep mistakes from being made; whoever owns the file can drop them.
CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events
WHEN NOT EXISTS (SELECT 1 FROM audit_anchors WHERE removed_before > OLD.at)
BEGIN
    SELECT RAISE(ABORT, 'audit events leave by retention only');
END;

CREATE TRIGGER audit_seals_update BEFORE UPDATE ON audit_seals
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_seals_delete BEFORE DELETE ON audit_seals
WHEN NOT EXISTS (SELECT 1 FROM audit_anchors WHERE position >= OLD.position)
BEGIN
    SELECT RAISE(ABORT, 'audit seals leave by retention only');
END;
