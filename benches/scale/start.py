"""`start`: how long `signet serve` takes from its call to the first 200 of `/health/ready`, and what it holds then."""

import statistics
import time

from postgres import Cluster
from service import Place


def run(options):
    cluster = Cluster(options.dir)
    try:
        cluster.query("postgres", "CREATE DATABASE start")
        print(f"| database | ready after: median of {options.rounds} | quickest, slowest | CPU until then | resident after a second |\n|---|---|---|---|---|")
        print_line("SQLite", Place(options.dir, "sqlite:signet.db"), options.rounds)
        print_line("Postgres", Place(options.dir, cluster.url("start")), options.rounds)
    finally:
        cluster.remove()


def print_line(name, place, rounds):
    after, cpu, resident = [], [], []
    for _ in range(rounds):
        service = place.serve()
        after.append(1_000 * service.ready_after)
        cpu.append(1_000 * service.cpu_seconds())
        time.sleep(1)
        resident.append(service.resident_mib())
        service.end()
    place.remove()
    median, memory = statistics.median(after), statistics.median(resident)
    print(f"| {name} | {median:.0f} ms | {min(after):.0f}, {max(after):.0f} ms | {statistics.median(cpu):.0f} ms | {memory:.1f} MiB |", flush=True)
