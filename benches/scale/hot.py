"""`hot`: half a million rotations by the service's own statement, and what they leave behind in Postgres."""

import plant
import statements
from postgres import Cluster
from service import Place
from sizes import CLIENTS

SIZES = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relname ~ '^sessions' AND relkind IN ('r', 'i') ORDER BY relkind DESC, relname
"""
UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
ROUND_SECONDS = 5


def run(options):
    cluster = Cluster(options.dir, synchronous_commit="off")
    try:
        measure(cluster, options)
    finally:
        cluster.remove()


def measure(cluster, options):
    captured, template = statements.of_service(cluster, options.dir)
    cluster.query("postgres", "CREATE DATABASE hot")
    Place(options.dir, cluster.url("hot")).remove()
    planted = plant.fill_postgres(cluster, "hot", options.sessions, template)
    script = statements.scripts(captured, planted)["rotate"]
    before, done = dict(cluster.query("hot", SIZES)), 0
    print(f"{options.sessions:,} sessions; synchronous_commit is off here, which changes nothing of what is measured.\n")
    print("| rotations | heap-only | " + " | ".join(f"{name} MB" for name in before) + " |\n|" + "---|" * (len(before) + 2))
    print_line(0, 100.0, before)
    while done < options.rotations:
        done += cluster.pgbench("hot", *script, clients=CLIENTS, seconds=ROUND_SECONDS)["count"]
        updates, heap_only = map(int, cluster.query("hot", UPDATES)[0])
        sizes = dict(cluster.query("hot", SIZES))
        print_line(done, 100.0 * heap_only / max(1, updates), sizes)
    if updates != done:
        raise SystemExit(f"{done} rotations were asked for and {updates} rows updated: some matched nothing")
    grown = [name for name in before if name != "sessions" and sizes[name] != before[name]]
    print("\n" + (f"grew: {', '.join(grown)}" if grown else "No index grew by a page."))


def print_line(done, share, sizes):
    print(f"| {done:,} | {share:.2f} % | " + " | ".join(f"{int(size) / 1e6:.2f}" for size in sizes.values()) + " |", flush=True)
