"""`instances`: one and two instances on one Postgres: what they do together, and how much of it each."""

import statistics

import plant
import statements
from postgres import Cluster
from service import Load, Place, at

CLIENTS = 16


def run(options):
    cluster = Cluster(options.dir)
    try:
        measure(cluster, options)
    finally:
        cluster.remove()


def measure(cluster, options):
    _, template = statements.of_service(cluster, options.dir)
    cluster.query("postgres", "CREATE DATABASE shared")
    place = Place(options.dir, cluster.url("shared"))
    try:
        plant.fill_postgres(cluster, "shared", options.sessions, template)
        print(f"{options.sessions:,} sessions, {CLIENTS} connections, {options.rounds} rounds of {options.seconds} s, medians:\n")
        print("| instances | limited by | refreshes/s | share of each | clients' slowest ÷ fastest | p50, p99 ms | Signet's CPU | Postgres's CPU |\n|---|---|---|---|---|---|---|---|")
        load = Load(options.sessions, CLIENTS)
        # With a pool of one an instance waits for each commit, and leaves the cores idle meanwhile: what a second one adds
        # is then not taken from the first one's core. With the default pool both share the cores with Postgres and clients.
        for limit, settings in (("a pool of 1", {"DATABASE__POOL_SIZE": 1}), ("the cores", {})):
            services = [place.serve(**settings) for _ in range(2)]
            try:
                rounds = {1: [], 2: []}
                for _ in range(options.rounds):
                    for count in rounds:
                        rounds[count].append(one_round(cluster, services[:count], load, options.seconds))
                for count in rounds:
                    print_line(count, limit, rounds[count])
            finally:
                for service in services:
                    service.end()
    finally:
        place.remove()


def one_round(cluster, services, load, seconds):
    before = sum(service.cpu_seconds() for service in services), cluster.cpu_seconds()
    latencies = load.run([service.port for service in services], seconds)
    after = sum(service.cpu_seconds() for service in services), cluster.cpu_seconds()
    counts = [len(of_client) for of_client in latencies]
    total = sum(counts)
    shares = [sum(counts[which :: len(services)]) / total for which in range(len(services))]
    everything = [latency for of_client in latencies for latency in of_client]
    cpu = [1e6 * (later - sooner) / total for later, sooner in zip(after, before)]
    return [total / seconds, min(shares), max(shares), min(counts) / max(counts), at(everything, 0.5), at(everything, 0.99), *cpu]


def print_line(count, limit, rounds):
    rate, least, most, evenness, p50, p99, own, server = (statistics.median(figures) for figures in zip(*rounds))
    shares = "all" if count == 1 else f"{least:.1%} and {most:.1%}"
    print(f"| {count} | {limit} | {rate:,.0f} | {shares} | {evenness:.2f} | {p50:.1f}, {p99:.1f} | {own:.0f} µs | {server:.0f} µs |", flush=True)
