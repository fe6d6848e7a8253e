"""A throw-away Postgres: a cluster in a folder of its own, gone at the end, and the programs that come with it."""

import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")

# Durable, as in production. The rest is what a machine of this size would be given by hand; the distance of checkpoints
# decides how often a whole page is logged, so it is set and said.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
    "max_connections": "100",
    "max_locks_per_transaction": "64",
}


def binaries():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
    on_path = shutil.which("initdb")
    folders = ([os.path.dirname(os.path.realpath(on_path))] if on_path else []) + found
    for folder in folders:
        if os.path.exists(os.path.join(folder, "pgbench")):
            return folder
    raise SystemExit("neither beside initdb in PATH nor in /usr/lib/postgresql is a pgbench")


def unprivileged():
    """Who runs the server: Postgres refuses to be root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        except KeyError:
            pass
    raise SystemExit("there is no user without privileges to run Postgres as")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    def __init__(self, parent, **settings):
        self.bin = binaries()
        self.as_user = unprivileged()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-scale-", dir=parent))
        if self.as_user:
            os.chown(self.dir, self.as_user["user"], self.as_user["group"])
        self.port = free_port()
        self.server = None
        self.settings = SETTINGS | settings
        try:
            self._program("initdb", "-D", "data", "-U", "signet", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
            self.start()
        except BaseException:
            self.remove()
            raise

    def _program(self, name, *arguments):
        command = [os.path.join(self.bin, name), *arguments]
        done = subprocess.run(command, cwd=self.dir, capture_output=True, text=True, env=self._environment(), **self.as_user)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr}")
        return done.stdout

    def _environment(self):
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}

    def start(self, **settings):
        options = [text for key, value in (self.settings | settings).items() for text in ("-c", f"{key}={value}")]
        listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-k", str(self.dir)]
        self.log = self.dir / "log"
        with open(self.log, "ab") as log:
            command = [os.path.join(self.bin, "postgres"), "-D", "data", *listen, *options]
            self.server = subprocess.Popen(command, cwd=self.dir, stdout=log, stderr=log, env=self._environment(), **self.as_user)
        deadline = time.monotonic() + 60
        while subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", str(self.dir), "-p", str(self.port)]).returncode:
            if time.monotonic() > deadline or self.server.poll() is not None:
                raise SystemExit(f"Postgres does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGINT)  # "fast": ends connections, writes a checkpoint
            self.server.wait(timeout=300)

    def remove(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGQUIT)  # "immediate": nothing of it is needed any more
            self.server.wait(timeout=60)
        shutil.rmtree(self.dir, ignore_errors=True)

    def url(self, database):
        return f"postgres://signet@127.0.0.1:{self.port}/{database}"

    def query(self, database, sql):
        """Runs SQL and gives back its rows as lists of texts."""
        arguments = ["-h", str(self.dir), "-p", str(self.port), "-U", "signet", "-d", database]
        flags = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command = [os.path.join(self.bin, "psql"), *arguments, *flags, "-f", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, env=self._environment())
        if done.returncode != 0:
            raise SystemExit(f"{done.stderr}\n{sql[:500]}")
        return [line.split("\t") for line in done.stdout.splitlines() if line]

    def value(self, database, sql):
        return self.query(database, sql)[0][0]

    def warm(self, database):
        """Reads all of a database into memory, as far as that goes."""
        self.query(database, "CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        relations = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
        self.query(database, f"SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE {relations}")

    def cpu_seconds(self):
        """User and system time of the server and all its backends, those that have ended included."""
        total = 0
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                fields = pathlib.Path(stat).read_text().rsplit(") ", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid, parent = int(stat.split("/")[2]), int(fields[1])
            own, of_the_dead = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
            if pid == self.server.pid:
                total += own + of_the_dead
            elif parent == self.server.pid:
                total += own
        return total / TICKS

    def pgbench(self, database, script, variables, clients, seconds):
        """Runs a one-statement script with prepared statements; transactions per second, mean latency in ms, count."""
        path = self.dir / "script.sql"
        path.write_text(script)
        path.chmod(0o644)
        defines = [f"--define={name}={value}" for name, value in variables.items()]
        command = [
            os.path.join(self.bin, "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds),
            "-h", str(self.dir), "-p", str(self.port), "-U", "signet", *defines, "-f", str(path), database,
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment())
        if done.returncode != 0:
            raise SystemExit(f"pgbench: {done.stderr}\n{script}")
        facts = {}
        for line in done.stdout.splitlines():
            if line.startswith("tps = "):
                facts["tps"] = float(line.split()[2])
            if line.startswith("latency average = "):
                facts["latency_ms"] = float(line.split()[3])
            if line.startswith("number of transactions actually processed: "):
                facts["count"] = int(line.split(": ")[1].split("/")[0])
        return facts
