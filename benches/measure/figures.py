"""What is measured. Each method of `Bench` measures one thing and leaves it in `measured`; the table is made from that."""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from . import machine, rotation

# In this order: what needs a quiet machine comes first, what fills the database last.
ALL = ["tokens", "starts", "hash", "rotations", "static", "callers", "logins", "statements", "storm", "sqlite", "memory"]

CLIENTS = 16
STORM_CLIENTS = 64
CROWD = 256
# Requests a second of refresh, /me and JWKS together while log-ins storm: far from what the service can do.
STORM_RATE = 150
JWKS = "/.well-known/jwks.json"


@dataclass
class Effort:
    turns: int
    seconds: float
    crowd_seconds: float
    starts: int
    criterion: tuple


FULL = Effort(turns=3, seconds=6, crowd_seconds=20, starts=20, criterion=("--warm-up-time", "1", "--measurement-time", "3"))
QUICK = Effort(turns=1, seconds=2, crowd_seconds=4, starts=5, criterion=("--warm-up-time", "0.5", "--measurement-time", "1"))


class Bench:
    def __init__(self, programs, folder, target, effort):
        self.programs, self.folder, self.target, self.effort = programs, folder, target, effort
        self.measured = {}
        self.running = []
        self.postgres = self.started(machine.Postgres(folder / "postgres"))
        self.postgres_version = self.postgres.version
        self.on_postgres = self.service("signet", self.postgres.create("signet"))

    def started(self, process):
        self.running.append(process)
        return process

    def service(self, name, database_url, **settings):
        """A running service with users that can log in."""
        signet = machine.Signet(self.programs["signet"], self.folder / name, database_url, **settings)
        signet.start()
        self.running.append(signet)
        signet.idle_mib = machine.resident_mib(signet.process.pid)
        self.load(signet, "enrol", seconds=120, requests=CROWD, clients=4, warm_up=0)
        return signet

    def stop(self):
        for process in reversed(self.running):
            process.stop()

    def load(self, signet, mix, seconds=None, **options):
        """Reports of the load generator; processor time of Signet and of Postgres included."""
        watch = {"signet": signet.process, "postgres": self.postgres.process}
        options = {"clients": CLIENTS, **options}
        return machine.load(self.programs["load"], signet.url, mix, seconds or self.effort.seconds, watch, **options)

    def turns(self, **measures):
        """Lets measures take turns; each of their figures, as the median of all turns."""
        found = {name: [] for name in measures}
        for _ in range(self.effort.turns):
            for name, measure in measures.items():
                found[name].append(measure())
        return {name: median_of(turns) for name, turns in found.items()}

    def call(self, signet, call, **options):
        """One turn of one call in a closed loop."""
        report = self.load(signet, call, **options)[-1]
        return figures_of(report, call)

    def criterion(self, *benches):
        """Medians in microseconds, by the name of the benchmark."""
        home = self.target / "criterion"
        environment = {**os.environ, "CRITERION_HOME": str(home)}
        environment["SIGNET_TEST_POSTGRES_URL"] = self.postgres.create(f"criterion_{benches[0]}")
        found = {}
        for bench in benches:
            if bench not in self.programs:
                continue
            command = [self.programs[bench], "--bench", *self.effort.criterion]
            begun = time.time()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            for file in home.glob("**/new/benchmark.json"):
                if file.stat().st_mtime >= begun - 1:
                    estimates = json.loads((file.parent / "estimates.json").read_text())
                    found[json.loads(file.read_text())["full_id"]] = estimates["median"]["point_estimate"] / 1000
        return found

    def tokens(self):
        self.measured["criterion"] = self.criterion("limits", "json", "rotation")

    def hash(self):
        self.measured["hash"] = self.criterion("hash")

    def starts(self):
        """Milliseconds from the command to readiness, on databases that are migrated already."""
        databases = {"postgres": self.postgres.create("starts"), "sqlite": "sqlite:signet.db"}
        for name, url in databases.items():
            signet = machine.Signet(self.programs["signet"], self.folder / f"starts-{name}", url)
            took = []
            for _ in range(self.effort.starts):
                took.append(signet.start())
                signet.stop()
            self.measured.setdefault("start_ms", {})[name] = statistics.median(took)

    def rotations(self):
        """Refreshes over HTTP beside pgbench with the same statement, in turns, on the rows of the same sessions."""
        statement = rotation.capture(self.postgres, "signet", lambda: self.refresh_once(self.on_postgres))
        script, constants = rotation.script(*statement)
        self.load(self.on_postgres, "refresh", seconds=1)  # a session for each client

        def limit():
            return rotation.pgbench(self.postgres, "signet", script, constants, CLIENTS, max(1, int(self.effort.seconds)))

        found = self.turns(pgbench=limit, refresh=lambda: self.call(self.on_postgres, "refresh"))
        table = "SELECT n_tup_hot_upd::float8 / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
        time.sleep(1)  # the statistics of a backend that has ended are reported by then
        found["hot_share"] = float(self.postgres.query("signet", table))
        self.measured["rotation"] = found

    def refresh_once(self, signet):
        """Enough log-ins and refreshes that the statement is prepared and run, on every connection that there is."""
        self.load(signet, "refresh", seconds=30, requests=4, clients=1, warm_up=0)

    def static(self):
        """The JWKS beside nginx with the same bytes in a file."""
        nginx = self.started(machine.Nginx(self.folder / "nginx", JWKS, self.on_postgres.jwks()))

        def limit():
            watch = {"nginx": nginx.process}
            reports = machine.load(self.programs["load"], nginx.url, "jwks", self.effort.seconds, watch, clients=CLIENTS)
            return figures_of(reports[-1], "jwks", of="nginx")

        silent = self.service("signet-silent", "sqlite:signet.db", SIGNET_LOG__LEVEL="error")
        self.measured["jwks"] = self.turns(
            nginx=limit,
            ours=lambda: self.call(self.on_postgres, "jwks"),
            silent=lambda: self.call(silent, "jwks"),
        )

    def callers(self):
        self.measured["me"] = self.turns(ours=lambda: self.call(self.on_postgres, "me"))["ours"]

    def logins(self):
        """At the hash's own limit, however many come at once, and for as long as a crowd does."""
        crowds = {str(clients): self.crowd(clients) for clients in (CLIENTS, STORM_CLIENTS, CROWD)}
        self.measured["login"] = self.turns(**crowds)

    def crowd(self, clients):
        seconds = self.effort.crowd_seconds if clients == CROWD else None
        return lambda: self.call(self.on_postgres, "login", clients=clients, seconds=seconds)

    def statements(self):
        """Counted by Postgres, over a run of each call."""
        self.postgres.set("pg_stat_statements.track", "top")
        probe = self.postgres.counters("signet")
        for call in ("refresh", "me", "jwks", "login", "register"):
            report = self.load(self.on_postgres, call, seconds=2, clients=4, warm_up=1, probe=probe)[-1]
            self.measured.setdefault("statements", {})[call] = report["probed_per_request"]
        self.postgres.set("pg_stat_statements.track", "none")

    def storm(self):
        """Latencies at a fixed rate, alone and while log-ins saturate the hash threads."""
        beside = {"rate": STORM_RATE, "beside": f"login:{STORM_CLIENTS}", "seconds": 2 * self.effort.seconds}
        alone, together = self.load(self.on_postgres, "refresh,me,jwks", **beside)
        for call, report in alone["groups"][0]["calls"].items():
            stormed = together["groups"][0]["calls"][call]
            latencies = {"alone_ms": report["latency_ms"], "together_ms": stormed["latency_ms"]}
            self.measured.setdefault("storm", {})[call] = {**latencies, "answers": stormed["answers"]}
        self.measured["storm_logins"] = together["groups"][1]["calls"]["login"]

    def sqlite(self):
        """The same service on SQLite."""
        self.on_sqlite = self.service("signet-sqlite", "sqlite:signet.db")
        for call in ("refresh", "me", "login"):
            self.measured.setdefault("sqlite", {})[call] = self.call(self.on_sqlite, call)

    def memory(self):
        pid = self.on_postgres.process.pid
        self.measured["memory_mib"] = {"idle": self.on_postgres.idle_mib, "busiest": machine.resident_mib(pid, "VmHWM")}


def figures_of(report, call, of="signet"):
    """What counts of one run of one call."""
    [group] = report["groups"]
    of_call = group["calls"][call]
    refused = {kind: count for kind, count in of_call["answers"].items() if not kind.startswith("2")}
    if refused:
        print(f"  {call}: {refused}", file=sys.stderr)
    processes = report["processes"]
    found = {
        "per_second": of_call["per_second"],
        "p50_ms": of_call["latency_ms"]["p50"],
        "p99_ms": of_call["latency_ms"]["p99"],
        "micros": processes[of]["cpu_micros_per_request"],
        "faults": processes[of]["minor_faults_per_request"],
        "load_micros": processes["load"]["cpu_micros_per_request"],
        "refused": sum(refused.values()),
    }
    if "postgres" in processes:
        found["postgres_micros"] = processes["postgres"]["cpu_micros_per_request"]
    return found


def median_of(turns):
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
