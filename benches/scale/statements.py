"""The service's own statements, word for word: taken from the server's log while a real service answers real requests."""

import re

import plant
from service import PASSWORD, Place

EXECUTED = re.compile(r"LOG:  execute [^:]*: (.*)$")
PARAMETERS = re.compile(r"DETAIL:  parameters: (.*)$")
PARAMETER = re.compile(r"\$(\d+) = ('(?:[^']|'')*'|NULL)")

# By what a statement is recognised among all that were executed.
NAMES = {
    "rotate": r'^UPDATE "sessions" SET "secret_digest" = .*"generation" = \("sessions"\."generation" \+',
    "log-in look-up": r'^SELECT "users"\."id", "users"\."password_hash"',
    "/me": r'^SELECT "users"\.\S+ .*INNER JOIN',
    "list sessions": r'^SELECT "sessions"\."id", "sessions"\."client_id".* ORDER BY',
}


class Statement:
    def __init__(self, text, values):
        self.text, self.values = text, values

    def script(self, choose, variables, **expressions):
        """For pgbench: parameters that are compared with, or set into, the columns `table__column` (or `column`) become
        expressions over what `choose` draws; all others keep the values that the service sent. The rest is the service's."""
        variables = dict(variables)

        def kept(number):
            variables[f"p{number}"] = self.values[int(number)]
            return f":p{number}"

        def replaced(found):
            table, column, number = found.groups()
            expression = expressions.get(f"{table}__{column}") or expressions.get(column) or kept(number)
            return found.group(0).rsplit("$", 1)[0] + expression

        text = re.sub(r'(?:"(\w+)"\.)?"(\w+)" = \$(\d+)', replaced, self.text)
        text = re.sub(r"\$(\d+)", lambda found: kept(found.group(1)), text)
        return f"{choose}\n{text};\n", variables


def of_service(cluster, parent):
    """Makes a database, has a service work on it, and gives back its statements and what a log-in writes."""
    cluster.query("postgres", "CREATE DATABASE captured")
    cluster.query("postgres", "ALTER DATABASE captured SET log_statement = 'all'")
    place = Place(parent, cluster.url("captured"))
    begins_at = cluster.log.stat().st_size
    service = place.serve()
    try:
        who = {"email": "captured@example.com", "password": PASSWORD}
        service.post("/v1/auth/register", who)
        session = service.post("/v1/auth/login", who)
        service.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]})
        service.get("/v1/auth/me", session["access_token"])
        service.get("/v1/auth/sessions", session["access_token"])
    finally:
        service.end()
        place.remove()
    with open(cluster.log) as log:
        log.seek(begins_at)
        statements = named(executed(log))
    columns = "client_id, scope, amr, (SELECT password_hash FROM users LIMIT 1)"
    row = cluster.query("captured", f"SELECT {columns} FROM sessions LIMIT 1")[0]
    return statements, dict(zip(("client_id", "scope", "amr", "password_hash"), row))


def executed(lines):
    text = None
    for line in lines:
        if found := EXECUTED.search(line):
            if text:
                yield Statement(text, {})
            text = found.group(1)
        elif text and (found := PARAMETERS.search(line)):
            values = {int(number): value[1:-1].replace("''", "'") for number, value in PARAMETER.findall(found.group(1)) if value != "NULL"}
            yield Statement(text, values)
            text = None


def named(statements):
    statements = list(statements)
    found = {}
    for name, pattern in NAMES.items():
        matching = [statement for statement in statements if re.search(pattern, statement.text)]
        if not matching:
            raise SystemExit(f"no statement of the service looks like «{name}» ({pattern}); it sent:\n" + "\n".join(s.text for s in statements))
        found[name] = matching[-1]
    return found


def scripts(statements, planted):
    """For each name a script for a planted database and its variables."""
    sessions, users = planted["sessions"], planted["users"]
    common = {"planted_at": planted["now"]}
    # Seven times something plus 1 to 6: one that is not over.
    session = f"\\set k random(0, {sessions // 7 - 1})\n\\set r random(1, 6)\n\\set n 7 * :k + :r"
    user = f"\\set u random(1, {users})"
    owner = f"\\set u 1 + :n * {plant.SCATTER} % {users}"
    prefix = "'user' || :u"
    search = (
        "SELECT id, email, name, roles, is_active, created_at FROM users "
        f"WHERE email_key >= {prefix} AND email_key < {prefix} || '~' ORDER BY email_key LIMIT 50"
    )
    return {
        # The secret stays as it was, so that a session can be rotated any number of times; all else is written anew.
        "rotate": statements["rotate"].script(
            session, common, handle_digest="scale.handle_digest(:n)", secret_digest="scale.secret_digest(:n)"
        ),
        "log-in look-up": statements["log-in look-up"].script(user, common, email_key="'user' || :u || '@example.com'"),
        "/me": statements["/me"].script(
            f"{session}\n{owner}",
            common,
            sessions__id=f"scale.session_id(:n, {planted['span']}, :planted_at)",
            users__id="scale.user_id(:u, :planted_at)",
        ),
        "list sessions": statements["list sessions"].script(user, common, user_id="scale.user_id(:u, :planted_at)"),
        # Not the service's: there is no search yet. What one by the beginning of an address would cost.
        "search by prefix": (f"{user}\n{search};\n", common),
    }
