DROP TABLE idempotency_keys;
DROP INDEX users_admins;
DROP INDEX users_name_order;
ALTER TABLE sessions DROP COLUMN actor_session_id;
ALTER TABLE sessions DROP COLUMN actor_id;
ALTER TABLE users DROP COLUMN disabled_until;
