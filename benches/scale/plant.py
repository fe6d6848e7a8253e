"""Fills a migrated database with users and sessions as years of service would leave them.

Nothing is made up on the client's side: handle, secret and id of session number n follow from n, in SQL and in Python, so
that every planted session can really be refreshed and every row named again. Sessions are inserted in the order of their
times, digests are as good as random, a user's sessions lie far from each other, and one session in seven is over.
"""

import base64
import binascii
import hashlib
import sqlite3
import time
import uuid

SESSIONS_PER_USER = 10
# Coprime to every count that is asked for, so that session n goes to a user whom n does not tell.
SCATTER = 7919
BATCH = 250_000

USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
DAY = 86_400


def is_over(n):
    return n % 7 == 0


def handle(n):
    return n.to_bytes(16, "big")


def refresh_token(n):
    body = handle(n) + hashlib.sha256(handle(n)).digest()
    whole = body + binascii.crc32(body).to_bytes(4, "big")
    return "sgr_" + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def user_of(n, users):
    return 1 + n * SCATTER % users


def email(user):
    return f"user{user}@example.com"


FUNCTIONS = """
CREATE SCHEMA scale;
-- A UUIDv7 of that time whose other bits follow from a word. Each argument is used once, and nothing claims to be IMMUTABLE, so that all is inlined:
-- called, it would take most of the time of a fill.
CREATE FUNCTION scale.id(word text, at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT overlay(overlay(overlay(md5(word) PLACING lpad(to_hex(floor(date_part('epoch', at) * 1000)::bigint), 12, '0') FROM 1 FOR 12)
    PLACING '7' FROM 13 FOR 1) PLACING '8' FROM 17 FOR 1)::uuid $$;
CREATE FUNCTION scale.began(n bigint, total bigint, now timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT now - interval '29 days' * ((total - n)::float8 / total) $$;
CREATE FUNCTION scale.session_id(n bigint, total bigint, now timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT scale.id('session ' || n, scale.began(n, total, now)) $$;
CREATE FUNCTION scale.user_id(n bigint, now timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT scale.id('user ' || n, now - interval '3 years' + interval '1 second' * n) $$;
CREATE FUNCTION scale.handle(n bigint) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT decode(lpad(to_hex(n), 32, '0'), 'hex') $$;
CREATE FUNCTION scale.handle_digest(n bigint) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(scale.handle(n)) $$;
CREATE FUNCTION scale.secret_digest(n bigint) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(sha256(scale.handle(n))) $$;
"""

# What is planted; columns that came with later migrations have defaults.
USER = ["id", "email", "email_key", "name", "password_hash", "roles", "is_active", "is_verified", "access_version", "created_at", "last_login_at"]
SESSION = [
    "id", "handle_digest", "user_id", "access_version", "secret_digest", "parent_digest", "nonce", "generation", "rotated_at",
    "created_at", "idle_expires_at", "expires_at", "revoked_at", "revoked_reason", "client_id", "scope", "amr", "auth_time",
    "address", "user_agent", "label",
]

USERS = """
INSERT INTO users ({columns})
SELECT scale.user_id(n, '{now}'), 'user' || n || '@example.com', 'user' || n || '@example.com', 'User ' || n,
  '{password_hash}', 'user', true, n % 3 > 0, 0, timestamptz '{now}' - interval '3 years', timestamptz '{now}'
FROM generate_series({first}, {last}) AS n;
"""

# The foreign key is right by construction, and asking for each of ten million rows is what takes longest.
SESSIONS = """
SET session_replication_role = replica;
INSERT INTO sessions ({columns})
SELECT scale.session_id(n, {total}, '{now}'), scale.handle_digest(n), scale.user_id(1 + n * {scatter} % {users}, '{now}'), 0,
  scale.secret_digest(n), sha256(int8send(n)), substr(sha256(int8send(-n)), 1, 16), n % 200,
  CASE WHEN n % 7 = 0 THEN at ELSE timestamptz '{now}' - interval '6 days' * (n % 1009) / 1009 END, at,
  CASE WHEN n % 7 = 0 THEN timestamptz '{now}' - interval '3 days' ELSE timestamptz '{now}' + interval '1 day' + interval '6 days' * (n % 1009) / 1009 END,
  at + interval '30 days',
  CASE WHEN n % 14 = 0 THEN timestamptz '{now}' - interval '3 days' END, CASE WHEN n % 14 = 0 THEN 'logout' END,
  '{client_id}', '{scope}', '{amr}', at, '203.0.113.' || n % 256, '{user_agent}', CASE WHEN n % 5 = 0 THEN 'laptop' END
FROM (SELECT n, scale.began(n, {total}, '{now}') AS at FROM generate_series({first}::bigint, {last}::bigint) AS n) AS planted;
"""


def fill_postgres(cluster, database, sessions, template, minutes=60):
    """Fills an empty, migrated database; `template` has what a real log-in wrote into the columns that never vary. When the
    time is over it ends with as many sessions as there are by then."""
    users = max(1, sessions // SESSIONS_PER_USER)
    now = cluster.value(database, "SELECT date_trunc('milliseconds', now())")
    cluster.query(database, FUNCTIONS)
    begun = time.monotonic()
    common = {"now": now, "total": sessions, "users": users, "scatter": SCATTER, "user_agent": USER_AGENT, **template}
    for sql, columns, count in ((USERS, USER, users), (SESSIONS, SESSION, sessions)):
        for first in range(1, count + 1, BATCH):
            last = min(first + BATCH - 1, count)
            cluster.query(database, sql.format(columns=", ".join(columns), first=first, last=last, **common))
            if time.monotonic() - begun > 60 * minutes:
                break
    took = time.monotonic() - begun
    cluster.query(database, "VACUUM (ANALYZE) users; VACUUM (ANALYZE) sessions")
    return {"sessions": last, "span": sessions, "users": users, "now": now, "fill_seconds": took}


def fill_sqlite(path, sessions, template):
    """The same for SQLite, row for row, in as large transactions as are quick."""
    users = max(1, sessions // SESSIONS_PER_USER)
    now = int(time.time() * 1000) * 1000
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -1000000")
    begun = time.monotonic()

    def identify(word, micros):
        bits = hashlib.md5(word.encode()).hexdigest()
        return uuid.UUID(f"{micros // 1000:012x}7{bits[13:16]}8{bits[17:]}").bytes

    def user_id(user):
        return identify(f"user {user}", now - (3 * 365 * DAY - user) * 1_000_000)

    def user_row(user):
        began = now - 3 * 365 * DAY * 1_000_000
        address = email(user)
        return (user_id(user), address, address, f"User {user}", template["password_hash"], "user", 1, int(user % 3 > 0), 0, began, now)

    def session_row(n):
        at = now - int(29 * DAY * 1_000_000 * (sessions - n) / sessions)
        over, share = is_over(n), n % 1009 / 1009
        digest = hashlib.sha256(handle(n)).digest()
        rotated = at if over else now - int(6 * DAY * 1_000_000 * share)
        idle = now - 3 * DAY * 1_000_000 if over else now + int((1 + 6 * share) * DAY * 1_000_000)
        revoked = now - 3 * DAY * 1_000_000 if n % 14 == 0 else None
        return (
            identify(f"session {n}", at), digest, user_id(user_of(n, users)), 0, hashlib.sha256(digest).digest(),
            hashlib.sha256(digest[:8]).digest(), digest[:16], n % 200, rotated, at, idle, at + 30 * DAY * 1_000_000, revoked,
            "logout" if revoked else None, template["client_id"], template["scope"], template["amr"], at,
            f"203.0.113.{n % 256}", USER_AGENT, "laptop" if n % 5 == 0 else None,
        )

    for table, columns, row, count in (("users", USER, user_row, users), ("sessions", SESSION, session_row, sessions)):
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for first in range(1, count + 1, BATCH):
            database.execute("BEGIN")
            database.executemany(insert, (row(n) for n in range(first, min(first + BATCH, count + 1))))
            database.execute("COMMIT")
    database.close()
    return {"sessions": sessions, "users": users, "fill_seconds": time.monotonic() - begun}
