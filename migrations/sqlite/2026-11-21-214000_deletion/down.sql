DROP INDEX users_purge_at;
ALTER TABLE users DROP COLUMN was_active;
ALTER TABLE users DROP COLUMN purge_at;
