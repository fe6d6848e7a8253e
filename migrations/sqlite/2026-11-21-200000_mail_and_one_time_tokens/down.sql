DROP TABLE invitations;
DROP TABLE email_changes;
DROP TABLE one_time_tokens;
DROP TABLE outbox;
