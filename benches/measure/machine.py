"""What runs while something is measured: a throw-away Postgres, Signet, nginx, the load generator; and what each uses."""

import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Nothing here takes longer to come up or to end.
PATIENCE_SECONDS = 60


def build(root):
    """Builds the service, the load generator and the benches in one go; the programs by name."""
    command = ["cargo", "build", "--release", "--locked", "--package", "signet", "--package", "signet-load"]
    command += ["--bins", "--benches", "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    artifacts = [json.loads(line) for line in built.stdout.splitlines()]
    made = [one for one in artifacts if one.get("executable") and one["target"]["kind"][0] in ("bin", "bench")]
    return {one["target"]["name"]: Path(one["executable"]) for one in made}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def description():
    """The machine in one line."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model[1] if model else platform.machine()}, Linux {platform.release().split('-')[0]}"


def resident_mib(pid, field="VmRSS"):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) / 1024


def processor_micros(root_pid):
    """What a process, its descendants, and those of them that have ended have used."""
    parents, ticks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has just ended
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(map(int, fields[11:15]))
    tree, size = {root_pid}, 0
    while len(tree) > size:
        size = len(tree)
        tree |= {pid for pid, parent in parents.items() if parent in tree}
    return sum(ticks.get(pid, 0) for pid in tree) * 1_000_000 / TICKS


def wait_until(is_true, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} does not come up")
        time.sleep(0.001)


def end(process, sign=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Postgres:
    """A cluster of its own that keeps every promise of durability, and counts statements when it is told to."""

    SETTINGS = {
        "listen_addresses": "",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "none",
        "pg_stat_statements.track_planning": "off",
        "max_connections": "100",
        # No checkpoint falls into one measurement and not into the next.
        "checkpoint_timeout": "1h",
        "max_wal_size": "8GB",
        "timezone": "UTC",
        "log_line_prefix": "",
    }

    def __init__(self, folder):
        self.bin = self.find()
        self.folder = folder
        self.user = {} if os.getuid() else {"user": "postgres", "group": "postgres", "extra_groups": []}
        folder.mkdir()
        if self.user:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        options = ["-D", folder / "data", "-U", "signet", "--auth=trust", "-E", "UTF8", "--locale=C"]
        self.call(self.bin / "initdb", *options)
        with (folder / "data/postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self.SETTINGS.items())
        log = (folder / "log").open("w")
        command = [self.bin / "postgres", "-D", folder / "data", "-k", folder]
        self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **self.user)
        self.address = ["-h", str(folder), "-U", "signet"]
        wait_until(self.is_ready, "Postgres")
        self.version = self.query("postgres", "SHOW server_version").split()[0]

    @staticmethod
    def find():
        packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        for folder in [Path(entry) for entry in os.environ["PATH"].split(":")] + packaged[::-1]:
            if (folder / "initdb").exists() and (folder / "pgbench").exists():
                return folder
        raise FileNotFoundError("no initdb and pgbench in PATH or /usr/lib/postgresql")

    def call(self, *command):
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False, **self.user)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name}: {done.stderr.strip()}")
        return done.stdout

    def is_ready(self):
        return subprocess.run([self.bin / "pg_isready", "-q", *self.address], check=False).returncode == 0

    def create(self, name):
        self.query("postgres", f"CREATE DATABASE {name}")
        self.query(name, "CREATE EXTENSION pg_stat_statements")
        return f"postgres://signet@/{name}?host={str(self.folder).replace('/', '%2F')}"

    def query(self, database, sql):
        return self.call(self.bin / "psql", *self.address, "-d", database, "-XAtq", "-c", sql).strip()

    def set(self, name, value):
        self.query("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        self.query("postgres", "SELECT pg_reload_conf()")
        time.sleep(0.3)  # until every backend has heard of it

    def counters(self, database):
        """A command that prints how many statements there were, and how much of the log was written."""
        sql = (
            "SELECT 'statements ' || coalesce(sum(calls), 0) FROM pg_stat_statements"
            " UNION ALL SELECT 'wal_bytes ' || (pg_current_wal_lsn() - '0/0')"
        )
        return f'"{self.bin}/psql" -h "{self.folder}" -U signet -d {database} -XAtqc "{sql}"'

    def stop(self):
        end(self.process, signal.SIGQUIT)


class Signet:
    """The service on a database of its own, with every default but the ports."""

    def __init__(self, program, folder, database_url, **settings):
        self.program, self.folder = program, folder
        folder.mkdir(exist_ok=True)
        self.public, self.management = free_port(), free_port()
        self.environment = {
            "SIGNET_ISSUER": "http://localhost:8080",
            "SIGNET_PUBLIC__LISTEN": f"127.0.0.1:{self.public}",
            "SIGNET_MANAGEMENT__LISTEN": f"127.0.0.1:{self.management}",
            "SIGNET_DATABASE__URL": database_url,
            "SIGNET_SHUTDOWN__DELAY": "0s",
            **settings,
        }
        self.run("migrate")
        self.run("keys", "new")

    def run(self, *arguments):
        command = [self.program, *arguments]
        options = {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True}
        done = subprocess.run(command, check=False, **options)
        if done.returncode:
            raise RuntimeError(f"signet {' '.join(arguments)}: {done.stderr.strip()}")

    def start(self):
        """Starts it; how many milliseconds later it says that it is ready."""
        log = (self.folder / "log").open("w")
        begun = time.perf_counter()
        command = [self.program, "serve"]
        self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        wait_until(self.is_ready, "Signet")
        return (time.perf_counter() - begun) * 1000

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"signet serve ends: {(self.folder / 'log').read_text()}")
        try:
            with socket.create_connection(("127.0.0.1", self.management), timeout=1) as connection:
                connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: signet\r\nConnection: close\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.public}"

    def jwks(self):
        with urllib.request.urlopen(f"{self.url}/.well-known/jwks.json", timeout=10) as answer:
            return answer.read()

    def stop(self):
        end(self.process, signal.SIGINT)


class Nginx:
    """A static file, and nothing that could slow it down."""

    CONFIG = """
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/root; }}
}}
"""

    def __init__(self, folder, path, content):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        file = folder / "root" / path.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        self.port = free_port()
        user = "" if os.getuid() else "user root;"
        config = folder / "nginx.conf"
        config.write_text(self.CONFIG.format(folder=folder, port=self.port, user=user))
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([program, "-p", folder, "-c", config, "-e", folder / "error.log"])
        wait_until(self.is_ready, "nginx")

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        end(self.process)


def load(program, target, mix, seconds, watch=None, probe=None, **options):
    """One run of the load generator: its reports, one for each phase."""
    words = [program, mix, "--json", "--target", target, "--duration", str(seconds)]
    for name, process in (watch or {}).items():
        words += ["--watch", f"{name}={process.pid}"]
    words += ["--probe", probe] if probe else []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)
