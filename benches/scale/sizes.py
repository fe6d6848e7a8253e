"""`sizes`: the cost of each hot statement, request and pass at a small and at a large number of sessions, side by side."""

import statistics
import subprocess
import time

import plant
import statements
from postgres import Cluster
from service import PROGRAM, Load, Place, at, read

SMALL = 10_000
CLIENTS = 8
COUNT = "SELECT count(*) FROM sessions"


def run(options):
    cluster = Cluster(options.dir, shared_buffers=f"{options.memory_gb}GB")
    try:
        measure(cluster, options)
    finally:
        cluster.remove()


def measure(cluster, options):
    captured, template = statements.of_service(cluster, options.dir)
    planted = {}
    for name, sessions in (("small", SMALL), ("large", options.sessions)):
        planted[name] = fill(cluster, name, sessions, template, options)
        print(f"{planted[name]['sessions']:,} sessions of {planted[name]['users']:,} users, filled in {planted[name]['fill_seconds']:.0f} s", flush=True)
    print_storage(cluster)
    for name in planted:
        cluster.warm(name)
    cluster.query("postgres", "CHECKPOINT")
    print_statements(cluster, captured, planted, options)
    print_requests(cluster, planted, options)
    print_cleanup(cluster, planted, options)


def fill(cluster, name, sessions, template, options):
    cluster.query("postgres", f"CREATE DATABASE {name}")
    place = Place(options.dir, cluster.url(name))
    place.remove()
    cluster.stop()
    cluster.start(fsync="off", full_page_writes="off")
    planted = plant.fill_postgres(cluster, name, sessions, template, options.fill_minutes)
    cluster.stop()
    subprocess.run(["sync"], check=True)
    cluster.start()
    return planted


STORAGE = """
SELECT relname, pg_relation_size(oid), greatest(reltuples, 1) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND relname !~ 'diesel|audit'
ORDER BY relname !~ '^(users|sessions)$', relname
"""


def print_storage(cluster):
    print("\n| table or index | small MB | large MB | bytes a row |\n|---|---|---|---|")
    small = {row[0]: row for row in cluster.query("small", STORAGE)}
    for name, size, rows in cluster.query("large", STORAGE):
        print(f"| {name} | {int(small[name][1]) / 1e6:.1f} | {int(size) / 1e6:,.0f} | {int(size) / float(rows):.0f} |")
    total = "SELECT pg_database_size(current_database())"
    print(f"| all | {int(cluster.value('small', total)) / 1e6:.1f} | {int(cluster.value('large', total)) / 1e6:,.0f} | |", flush=True)


def print_statements(cluster, captured, planted, options):
    """Rounds alternate between the two databases, since the machine is not ours alone; medians."""
    made = {name: statements.scripts(captured, planted[name]) for name in planted}
    print(f"\nStatements by pgbench, {CLIENTS} clients, prepared, {options.rounds} rounds of {options.seconds} s each, medians:\n")
    print("| statement | small: per s, CPU | large: per s, CPU | CPU large ÷ small | WAL bytes, whole pages each: small | large |\n|---|---|---|---|---|---|")
    for statement in made["small"]:
        rounds = {name: [] for name in planted}
        for name in planted:  # once for nothing: what is asked for comes into memory
            one_round(cluster, name, made[name][statement], options.seconds if statement == "rotate" else 2)
        for _ in range(options.rounds):
            for name in planted:
                rounds[name].append(one_round(cluster, name, made[name][statement], options.seconds))
        median = {name: [statistics.median(figures) for figures in zip(*rounds[name])] for name in planted}
        cells = [f"{median[name][0]:,.0f}, {median[name][1]:.0f} µs" for name in ("small", "large")]
        wal = [f"{median[name][2]:,.0f}, {median[name][3]:.2f}" for name in ("small", "large")]
        print(f"| {statement} | {cells[0]} | {cells[1]} | {median['large'][1] / median['small'][1]:.2f} | {wal[0]} | {wal[1]} |", flush=True)


def one_round(cluster, database, script, seconds):
    """Transactions per second, µs of the server's CPU, bytes of WAL and whole pages in it, each per transaction."""
    wal = "SELECT wal_bytes, wal_fpi FROM pg_stat_wal"
    cpu, (bytes_before, pages_before) = cluster.cpu_seconds(), map(int, cluster.query(database, wal)[0])
    facts = cluster.pgbench(database, *script, clients=CLIENTS, seconds=seconds)
    bytes_after, pages_after = map(int, cluster.query(database, wal)[0])
    count = max(1, facts["count"])
    used = cluster.cpu_seconds() - cpu
    return facts["tps"], 1e6 * used / count, (bytes_after - bytes_before) / count, (pages_after - pages_before) / count


def print_requests(cluster, planted, options):
    """Over HTTP, through the service, with real tokens of planted sessions."""
    print(f"\nRequests over HTTP, {CLIENTS} connections, {options.rounds} rounds of {options.seconds} s each, medians:\n")
    print("| request | size | per s | p50, p99 ms | Signet's CPU | Postgres's CPU |\n|---|---|---|---|---|---|")
    places = {name: Place(options.dir, cluster.url(name)) for name in planted}
    services = {name: places[name].serve() for name in planted}
    loads = {name: Load(planted[name]["sessions"], CLIENTS) for name in planted}
    try:
        for request in ("refresh", "/v1/auth/me", "/v1/auth/sessions"):
            rounds = {name: [] for name in planted}
            for number in range(options.rounds + 1):
                for name in planted:
                    figures = request_round(cluster, services[name], loads[name], request, options.seconds)
                    if number > 0:  # the first one warms up
                        rounds[name].append(figures)
            for name in planted:
                rate, p50, p99, own, server = (statistics.median(figures) for figures in zip(*rounds[name]))
                size = f"{planted[name]['sessions']:,}"
                print(f"| {request} | {size} | {rate:,.0f} | {p50:.1f}, {p99:.1f} | {own:.0f} µs | {server:.0f} µs |", flush=True)
    finally:
        for name in planted:
            services[name].end()
            places[name].remove()


def request_round(cluster, service, load, request, seconds):
    if request != "refresh":
        tokens = access_tokens(service, load)
    before = service.cpu_seconds(), cluster.cpu_seconds() if cluster else 0
    if request == "refresh":
        latencies = [latency for client in load.run([service.port], seconds) for latency in client]
    else:
        latencies = read(service.port, seconds, request, tokens)
    after = service.cpu_seconds(), cluster.cpu_seconds() if cluster else 0
    own, server = (1e6 * (later - sooner) / len(latencies) for later, sooner in zip(after, before))
    return len(latencies) / seconds, at(latencies, 0.5), at(latencies, 0.99), own, server


def access_tokens(service, load):
    """One for each client, by refreshing a session of its share that nobody refreshed yet, or with its newest token."""
    tokens = []
    for share, known in enumerate(load.tokens):
        n = next(n for n in range(1 + share, load.sessions + 1, len(load.tokens)) if not plant.is_over(n))
        answer = service.post("/v1/auth/refresh", {"refresh_token": known.get(n) or plant.refresh_token(n)})
        known[n] = answer["refresh_token"]
        tokens.append(answer["access_token"].encode())
    return tokens


def print_cleanup(cluster, planted, options):
    """A pass over all of the small one, and over as much of the large one as the time allows: what is over lies evenly,
    so what was removed tells how far it came."""
    print("\n| `signet cleanup` | walked | removed | time | Postgres's CPU for 1,000 walked |\n|---|---|---|---|---|")
    for name in planted:
        place = Place(options.dir, cluster.url(name))
        before, cpu, begun = int(cluster.value(name, COUNT)), cluster.cpu_seconds(), time.monotonic()
        walked_all = walk(place, options.cleanup_seconds)
        took, used = time.monotonic() - begun, cluster.cpu_seconds() - cpu
        removed = before - int(cluster.value(name, COUNT))
        walked = before if walked_all else 7 * removed
        cells = f"{walked:,} | {removed:,} | {took:.1f} s | {1e6 * used / max(1, walked):.1f} ms"
        print(f"| {planted[name]['sessions']:,}{'' if walked_all else ', part'} | {cells} |", flush=True)
        place.remove()


def walk(place, seconds):
    """Whether it came to its end."""
    process = subprocess.Popen([PROGRAM, "cleanup"], cwd=place.dir, env=place.environment, stdout=subprocess.DEVNULL)
    try:
        if process.wait(timeout=seconds) != 0:
            raise SystemExit("signet cleanup failed")
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
