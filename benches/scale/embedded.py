"""`sqlite`: the same requests on SQLite files of two sizes."""

import statistics
import subprocess
import time

import plant
import statements
from postgres import Cluster
from service import Load, Place
from sizes import SMALL, request_round, walk

CLIENTS = 4


def run(options):
    cluster = Cluster(options.dir)
    try:
        _, template = statements.of_service(cluster, options.dir)  # for what a log-in writes
    finally:
        cluster.remove()
    places, planted = {}, {}
    try:
        for sessions in (SMALL, options.sessions):
            places[sessions] = Place(options.dir, "sqlite:signet.db")
            planted[sessions] = plant.fill_sqlite(places[sessions].dir / "signet.db", sessions, template)
            size = (places[sessions].dir / "signet.db").stat().st_size
            print(f"{sessions:,} sessions: {size / 1e6:,.0f} MB, {size / sessions:.0f} bytes each, filled in {planted[sessions]['fill_seconds']:.0f} s")
        subprocess.run(["sync"], check=True)
        print_requests(places, options)
        print_cleanup(places, options)
    finally:
        for place in places.values():
            place.remove()


def print_requests(places, options):
    print(f"\nRequests over HTTP, {CLIENTS} connections, {options.rounds} rounds of {options.seconds} s each, medians:\n")
    print("| request | sessions | per s | p50, p99 ms | Signet's CPU |\n|---|---|---|---|---|")
    services = {sessions: place.serve() for sessions, place in places.items()}
    loads = {sessions: Load(sessions, CLIENTS) for sessions in places}
    try:
        for request in ("refresh", "/v1/auth/me", "/v1/auth/sessions"):
            rounds = {sessions: [] for sessions in places}
            for number in range(options.rounds + 1):
                for sessions in places:
                    figures = request_round(None, services[sessions], loads[sessions], request, options.seconds)
                    if number > 0:
                        rounds[sessions].append(figures)
            for sessions in places:
                rate, p50, p99, own, _ = (statistics.median(figures) for figures in zip(*rounds[sessions]))
                print(f"| {request} | {sessions:,} | {rate:,.0f} | {p50:.1f}, {p99:.1f} | {own:.0f} µs |", flush=True)
    finally:
        for service in services.values():
            service.end()


def print_cleanup(places, options):
    print("\n| `signet cleanup` of | came to its end | time |\n|---|---|---|")
    for sessions, place in places.items():
        begun = time.monotonic()
        ended = walk(place, options.cleanup_seconds)
        print(f"| {sessions:,} | {'yes' if ended else 'no'} | {time.monotonic() - begun:.1f} s |", flush=True)
