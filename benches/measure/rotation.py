"""The limit of a rotation: pgbench with the service's very statement, on its schema and its rows.

The statement and its parameters are taken from Postgres's own log of one refresh, so that this follows whatever the
service does. Each of pgbench's clients has a session of its own and rotates it to and fro between two secrets, with another
nonce and other times each way, so that as much changes in a row as at a real rotation.
"""

import re
from datetime import datetime, timedelta

from . import machine

EXECUTED = re.compile(r'LOG:  execute [^:]*: (UPDATE "sessions".*)\nDETAIL:  parameters: (.*)')
PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
# What the row holds once the logged statement has run.
ROW = "handle_digest, secret_digest, parent_digest, nonce, rotated_at, idle_expires_at"

SCRIPT = r"""\if :ready = 0
SELECT handle_digest::text AS handle, secret_digest::text AS one, '\x' || repeat(md5(random()::text), 2) AS other
FROM (SELECT *, row_number() OVER (ORDER BY id) - 1 AS number FROM sessions) AS numbered
WHERE number = :client_id \gset
\set ready 1
\endif
{there};
{back};
"""


def capture(postgres, database, refresh_once):
    """The statement of one refresh with its parameters, and the row that it left."""
    log = postgres.folder / "log"
    postgres.set("log_statement", "all")
    begins = log.stat().st_size
    refresh_once()
    postgres.set("log_statement", "none")
    with log.open() as lines:
        lines.seek(begins)
        found = EXECUTED.findall(lines.read())
    if not found:
        raise RuntimeError("the log of Postgres shows no rotation: is it still one UPDATE of sessions?")
    statement, parameters = found[-1]
    values = {int(n): None if text == "NULL" else text[1:-1].replace("''", "'") for n, text in PARAMETER.findall(parameters)}
    columns = [f"{name.strip()}::text" for name in ROW.split(",")]
    condition = " OR ".join(f"handle_digest = '{value}'" for value in values.values() if value and len(value) == 66)
    row = postgres.query(database, f"SELECT {', '.join(columns)} FROM sessions WHERE {condition}").split("|")
    return statement, values, dict(zip((name.strip() for name in ROW.split(",")), row, strict=True))


def script(statement, values, row):
    """pgbench's script, and what its variables begin as."""
    constants = {"ready": "0"}

    def name_of(number, is_back):
        value = values[number]
        old, new = ("other", "one") if is_back else ("one", "other")
        if value == row["handle_digest"]:
            return ":handle"
        if value == row["parent_digest"]:
            return f":{old}"
        if value == row["secret_digest"]:
            return f":{new}"
        if value is None:
            return "NULL"
        name = f"p{number}{'b' if is_back else 'a'}"
        constants[name] = changed(value, row) if is_back else value
        return f":{name}"

    def one_way(is_back):
        return re.sub(r"\$(\d+)", lambda match: name_of(int(match[1]), is_back), statement)

    return SCRIPT.format(there=one_way(False), back=one_way(True)), constants


def changed(value, row):
    """Another nonce, another time; whatever is neither stays."""
    if value == row["nonce"]:
        return "\\x" + value[:1:-1]
    if value in (row["rotated_at"], row["idle_expires_at"]):
        later = datetime.fromisoformat(value + ":00") + timedelta(seconds=1)
        return later.isoformat(sep=" ")
    return value


def pgbench(postgres, database, text, constants, clients, seconds):
    """Rotations a second, Postgres's processor time of one, and what it writes to its log."""
    file = postgres.folder / "rotation.sql"
    file.write_text(text)
    file.chmod(0o644)
    written = "SELECT pg_current_wal_lsn() - '0/0'"
    before = machine.processor_micros(postgres.process.pid), int(postgres.query(database, written))
    words = [postgres.bin / "pgbench", *postgres.address, "-n", "-M", "prepared", "-c", clients, "-j", 2, "-T", seconds]
    words += [word for name, value in constants.items() for word in ("-D", f"{name}={value}")]
    output = postgres.call(*words, "-f", file, database)
    rotations = 2 * int(re.search(r"number of transactions actually processed: (\d+)", output)[1])
    used = machine.processor_micros(postgres.process.pid) - before[0]
    grown = int(postgres.query(database, written)) - before[1]
    per_second = 2 * float(re.search(r"tps = ([\d.]+)", output)[1])
    return {"per_second": per_second, "postgres_micros": used / rotations, "wal_bytes": grown / rotations}
