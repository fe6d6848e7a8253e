"""A `signet serve` of the release build, and clients that keep it busy."""

import http.client
import json
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import socket
import subprocess
import tempfile
import time

import plant
from postgres import TICKS, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/signet"
PASSWORD = "correct horse battery"


class Place:
    """A folder with keys, and the configuration for one database."""

    def __init__(self, parent, database_url, **settings):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="signet-scale-", dir=parent))
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "SIGNET_ISSUER": "http://localhost:8080",
            "SIGNET_DATABASE__URL": database_url,
            "SIGNET_CLEANUP__ENABLED": "false",
            "SIGNET_SHUTDOWN__DELAY": "0s",
            **{f"SIGNET_{name}": str(value) for name, value in settings.items()},
        }
        self.run("migrate")
        self.run("keys", "new")

    def run(self, *arguments, timeout=600):
        done = subprocess.run([PROGRAM, *arguments], cwd=self.dir, env=self.environment, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise SystemExit(f"signet {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def serve(self, cores=None, **settings):
        return Service(self, cores, settings)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Service:
    def __init__(self, place, cores, settings):
        self.port, self.management_port = free_port(), free_port()
        environment = place.environment | {
            "SIGNET_PUBLIC__LISTEN": f"127.0.0.1:{self.port}",
            "SIGNET_MANAGEMENT__LISTEN": f"127.0.0.1:{self.management_port}",
            **{f"SIGNET_{name}": str(value) for name, value in settings.items()},
        }
        command = (["taskset", "-c", cores] if cores else []) + [str(PROGRAM), "serve"]
        self.begun = time.monotonic()
        with open(place.dir / "log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=place.dir, env=environment, stdout=log, stderr=log)
        self.await_ready(place)

    def await_ready(self, place):
        """Asks until it is ready; a refused connection costs microseconds, so it is asked every millisecond."""
        while not self._is_ready():
            if time.monotonic() - self.begun > 30 or self.process.poll() is not None:
                raise SystemExit(f"it does not start:\n{(place.dir / 'log').read_text()[-2000:]}")
            time.sleep(0.001)
        self.ready_after = time.monotonic() - self.begun

    def _is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.management_port), timeout=5) as connection:
                connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kib) / 1024

    def post(self, path, body):
        return self._ask("POST", path, json.dumps(body), {"content-type": "application/json"})

    def get(self, path, token):
        return self._ask("GET", path, None, {"authorization": f"Bearer {token}"})

    def _ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Connection:
    """HTTP/1.1 on a kept-open socket, read no further than is needed: the client shares the machine with the service."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request):
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        while True:
            head, separator, body = answer.partition(b"\r\n\r\n")
            if separator:
                length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                if len(body) >= length:
                    return head, body
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the service closed the connection")
            answer += more


def post_refresh(token):
    body = b'{"refresh_token":"%s"}' % token.encode()
    return b"POST /v1/auth/refresh HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def get(path, token):
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % (path.encode(), token)


def member(body, name):
    return body.split(b'"%s":"' % name, 1)[1].split(b'"', 1)[0]


def keep_refreshing(port, seconds, sessions, share, of, tokens, results):
    """One client: refreshes planted sessions at random, each with the newest token that it has of it."""
    connection, latencies, choose = Connection(port), [], random.Random()
    end = time.monotonic() + seconds
    while (asked := time.monotonic()) < end:
        n = choose.randrange(1 + share, sessions + 1, of)
        if plant.is_over(n):
            continue
        head, body = connection.send(post_refresh(tokens.get(n) or plant.refresh_token(n)))
        latencies.append(time.monotonic() - asked)
        if b" 200 " not in head[:16]:
            raise SystemExit(f"session {n}: {head!r} {body!r}")
        tokens[n] = member(body, b"refresh_token").decode()
    results.put((share, latencies, tokens))


class Load:
    """Clients, each on a connection of its own, that refresh at the same time; tokens are kept from one run to the next."""

    def __init__(self, sessions, clients):
        self.sessions = sessions
        self.tokens = [{} for _ in range(clients)]

    def run(self, ports, seconds):
        """Client k talks to the service at `ports[k % len(ports)]`; the latencies of each client."""
        results = multiprocessing.Queue()
        clients = [
            multiprocessing.Process(
                target=keep_refreshing,
                args=(ports[k % len(ports)], seconds, self.sessions, k, len(self.tokens), tokens, results),
            )
            for k, tokens in enumerate(self.tokens)
        ]
        for client in clients:
            client.start()
        latencies = [None] * len(clients)
        for _ in clients:
            try:
                share, of_client, tokens = results.get(timeout=seconds + 60)
            except queue.Empty:
                raise SystemExit("a client gave up: see above") from None
            latencies[share], self.tokens[share] = of_client, tokens
        for client in clients:
            client.join()
        return latencies


def keep_reading(port, seconds, path, access_token, results):
    connection, latencies, end = Connection(port), [], time.monotonic() + seconds
    while (asked := time.monotonic()) < end:
        head, body = connection.send(get(path, access_token))
        latencies.append(time.monotonic() - asked)
        if b" 200 " not in head[:16]:
            raise SystemExit(f"{path}: {head!r} {body!r}")
    results.put(latencies)


def read(port, seconds, path, access_tokens):
    """One client for each token; all latencies."""
    results = multiprocessing.Queue()
    clients = [multiprocessing.Process(target=keep_reading, args=(port, seconds, path, token, results)) for token in access_tokens]
    for client in clients:
        client.start()
    latencies = [latency for _ in clients for latency in results.get(timeout=seconds + 60)]
    for client in clients:
        client.join()
    return latencies


def at(latencies, share):
    ordered = sorted(latencies)
    return 1_000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]
