"""What was measured, as tables: each figure beside its limit and its goal, and what a core can do."""

import re

CORES_AND_HASH = "cores ÷ our hash"
EVERY_CORE = "every core at once"


def markdown(found):
    """Every figure beside its limit."""
    lines = [f"{found['machine']}; Postgres {found['postgres']}.", "", *grid("what", "limit", "ours", "ratio", "goal")]
    lines += [line(row) for rows in ROWS for row in rows(found)]
    if "storm" in found:
        lines += ["", "Latency in ms from the intended start, alone and while log-ins saturate the hash threads:", ""]
        lines += grid("", "p50 alone", "p50 beside log-ins", "p99 alone", "p99 beside log-ins", "ratio of p99", "goal")
        lines += [line(storm_row(call, of_call)) for call, of_call in found["storm"].items()]
    return "\n".join(lines) + "\n"


def grid(*names):
    return [line(names), "|" + "---|" * len(names)]


def line(cells):
    return "| " + " | ".join(cells) + " |"


def token_rows(found):
    of = found.get("criterion", {})
    for verb, name, goal in (("sign", "issue an access token", 1.15), ("verify", "verify one", 1.2)):
        if f"{verb}/ours" in of:
            raw, library, ours = (of[f"{verb}/{kind}"] for kind in ("raw", "jsonwebtoken", "ours"))
            limit = f"{raw:.1f} µs (the raw signature; jsonwebtoken as it comes: {library:.1f} µs)"
            yield [name, limit, f"{ours:.1f} µs", f"{ours / raw:.2f}", f"≤ {goal}"]
    if "json/in" in of:
        yield ["JSON of a refresh, in and out", "–", f"{of['json/in']:.2f} + {of['json/out']:.2f} µs", "–", "–"]
    for database, name in (("postgres", "Postgres"), ("sqlite", "SQLite")):
        used = of.get(f"rotation processor time/{database}")
        if used:
            ours = f"{of[f'rotation/{database}']:.0f} µs, {used:.1f} µs of it this process's"
            goal = "≤ 15 µs of Diesel's" if database == "postgres" else "–"
            yield [f"one rotation through the library, {name}", "–", ours, "–", goal]
    if "rotation/hand-off" in of:
        ours = f"{of['rotation/hand-off']:.1f} µs, {of['rotation processor time/hand-off']:.1f} µs of it this process's"
        yield ["… of it: to another thread and back", "–", ours, "–", "–"]


def hash_of(found):
    """The fastest implementation that was tried, what it takes, and what ours takes; None if that was not measured."""
    of = found.get("hash", {})
    ours = [micros for name, micros in of.items() if name.startswith("ours")]
    others = [(micros, name) for name, micros in of.items() if not name.startswith(("ours", EVERY_CORE))]
    return (*min(others), ours[0]) if ours and others else None


def login_rows(found):
    hashes = hash_of(found)
    if hashes:
        fastest, name, ours = hashes
        limit = f"{fastest / 1000:.2f} ms ({name})"
        yield ["one hash, Argon2id 19 MiB t=2", limit, f"{ours / 1000:.2f} ms", f"{ours / fastest:.2f}", "≤ 1.2"]
        cores = int(found["machine"].split()[0])
        together = next(micros for name, micros in found["hash"].items() if name.startswith(EVERY_CORE))
        most, share = f"{cores * 1e6 / ours:.1f}/s ({CORES_AND_HASH})", f"{ours / together:.2f}"
        yield ["hashes and nothing else, on every core", most, f"{cores * 1e6 / together:.1f}/s", share, "–"]
    for clients, login in found.get("login", {}).items():
        value = f"{login['per_second']:.1f}/s, p99 {login['p99_ms']:.0f} ms, {login['faults']:.1f} page faults each"
        value += f", {login['refused']:.0f} refused" if login["refused"] else ""
        limit, share = "–", "–"
        if hashes:
            most = int(found["machine"].split()[0]) * 1e6 / hashes[2]
            limit, share = f"{most:.1f}/s ({CORES_AND_HASH})", f"{login['per_second'] / most:.2f}"
        yield [f"log-ins, {clients} at once", limit, value, share, "≥ 0.95"]


def rotation_rows(found):
    if "rotation" not in found:
        return
    limit, ours, hot = (found["rotation"][name] for name in ("pgbench", "refresh", "hot_share"))
    most = f"{limit['per_second']:.0f}/s (pgbench, our statement)"
    value = f"{ours['per_second']:.0f}/s, p99 {ours['p99_ms']:.1f} ms"
    yield ["refresh over HTTP, 16 clients", most, value, ratio(ours, limit, "per_second"), "≥ 0.75"]
    yield ["… our processor time", "–", f"{ours['micros']:.0f} µs", "–", "≤ 120 µs"]
    limit_micros, micros = f"{limit['postgres_micros']:.0f} µs", f"{ours['postgres_micros']:.0f} µs"
    yield ["… Postgres's processor time", limit_micros, micros, ratio(ours, limit, "postgres_micros"), "–"]
    yield ["… updates that touch no index (HOT)", "–", f"{hot * 100:.1f} %", "–", "≥ 99 %"]


def request_rows(found):
    if "jwks" in found:
        limit, ours = found["jwks"]["nginx"], found["jwks"]["ours"]
        most = f"{limit['micros']:.1f} µs (nginx, a static file)"
        yield ["GET JWKS, our processor time", most, f"{ours['micros']:.1f} µs", ratio(ours, limit, "micros"), "≤ 1.5"]
        silent = found["jwks"]["silent"]
        yield ["… of it: the line in the log", "–", f"{ours['micros'] - silent['micros']:.1f} µs", "–", "≤ 10 µs"]
        most, value = f"{limit['per_second']:.0f}/s", f"{ours['per_second']:.0f}/s"
        yield ["… a second, 16 clients", most, value, ratio(ours, limit, "per_second"), "–"]
    if "me" in found:
        me = found["me"]
        value = f"{me['micros']:.0f} µs, and {me['postgres_micros']:.0f} µs of Postgres"
        yield ["GET /me, our processor time", "–", value, "–", "≤ 200 µs"]
        yield ["… a second, 16 clients", "–", f"{me['per_second']:.0f}/s", "–", "–"]
    for call, of in found.get("sqlite", {}).items():
        yield [f"{call} on SQLite, 16 clients", "–", f"{of['per_second']:.0f}/s, {of['micros']:.0f} µs", "–", "–"]


def other_rows(found):
    for call, of in found.get("statements", {}).items():
        value = f"{of['statements']:.1f} statements, {of['wal_bytes']:.0f} bytes of write-ahead log"
        yield [f"what one {call} asks of Postgres", "–", value, "–", "1 statement" if call == "refresh" else "–"]
    if "start_ms" in found:
        start = found["start_ms"]
        value = f"{start['sqlite']:.0f} ms on SQLite, {start['postgres']:.0f} ms on Postgres"
        yield ["start to readiness", "–", value, "–", "< 100 ms"]
    if "memory_mib" in found:
        memory = found["memory_mib"]
        value = f"{memory['idle']:.0f} MiB idle, {memory['busiest']:.0f} MiB at its busiest"
        yield ["resident memory", "–", value, "–", "< 30 MiB idle"]


ROWS = [token_rows, login_rows, rotation_rows, request_rows, other_rows]


def ratio(ours, limit, name):
    return f"{ours[name] / limit[name]:.2f}"


def storm_row(call, of):
    alone, together = of["alone_ms"], of["together_ms"]
    values = [alone["p50"], together["p50"], alone["p99"], together["p99"]]
    return [call, *(f"{value:.2f}" for value in values), f"{together['p99'] / alone['p99']:.1f}", "≤ 3"]


def sizing(found):
    """What one core of Signet's can do at most, and what that asks of Postgres's."""
    lines = grid("request", "Signet", "Postgres", "so one core of Signet's does at most")
    calls = {"log-in": found["login"]["16"], "refresh": found["rotation"]["refresh"]}
    calls |= {"`/v1/auth/me`": found["me"], "`/.well-known/jwks.json`": found["jwks"]["ours"]}
    for name, of in calls.items():
        micros, postgres = of["micros"], of["postgres_micros"]
        cells = [name, duration(micros), duration(postgres) if postgres >= 1 else "–", f"{1e6 / micros:,.0f} a second"]
        lines.append(line(cells))
    verify = found["criterion"]["verify/ours"]
    lines.append(line(["a token verified by a sibling in Rust", "–", "–", f"{1e6 / verify:,.0f} a second, of its own core"]))
    return "\n".join(lines) + "\n"


def duration(micros):
    return f"{micros / 1000:.1f} ms" if micros >= 1000 else f"{micros:.0f} µs"


def write(file, found):
    """Puts the tables where the document has them."""
    document = file.read_text()
    for name, text in (("figures", markdown(found)), ("sizing", sizing(found))):
        region = re.compile(f"<!-- {name} -->.*<!-- /{name} -->", re.DOTALL)
        document = region.sub(lambda _, text=text, name=name: f"<!-- {name} -->\n{text}<!-- /{name} -->", document)
    file.write_text(document)
