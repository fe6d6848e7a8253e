DROP TRIGGER audit_events_update;
DROP TRIGGER audit_events_delete;
ALTER TABLE outbox DROP COLUMN address;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_endpoints;
DROP TABLE audit_anchors;
DROP TABLE audit_seals;
DROP INDEX audit_events_kind;
DROP INDEX audit_events_actor;
