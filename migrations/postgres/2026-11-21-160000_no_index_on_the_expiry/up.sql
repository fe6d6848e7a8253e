-- What is over is found by a walk over the primary key: nearly all sessions end by idling, which has no index. So this one
-- served nothing any more, and cost every log-in a write.
DROP INDEX sessions_expires_at;
