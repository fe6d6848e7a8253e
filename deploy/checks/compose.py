"""docker-compose.yml, without Docker: against the Compose specification, and against what its comments promise."""

import ipaddress
import json
from pathlib import Path

# The containers of our own image, and the one user that they run as.
OWN = {"keys", "migrate", "signet"}
OWN_USER = "65532:65532"

# What watches it, on demand, and what each may reach.
OBSERVERS = {"prometheus", "grafana"}


def check(root):
    path = root / "docker-compose.yml"
    compose = parse(path)
    # Promises are looked for in a file that has the right form; elsewhere they would only add noise.
    findings = against_schema(compose) or against_promises(compose, root)
    return [f"{path.name}: {finding}" for finding in findings], f"{path.name}: valid Compose, and all promises kept"


def parse(path):
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(path.read_text())


def against_schema(compose):
    from importlib.util import find_spec

    from jsonschema import Draft202012Validator

    package = Path(find_spec("check_jsonschema").origin).parent
    schema = json.loads((package / "builtin_schemas/vendor/compose-spec.json").read_text())
    errors = Draft202012Validator(schema).iter_errors(compose)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'top level'}: {error.message}" for error in errors]


def against_promises(compose, root):
    services = compose["services"]
    if missing := (OWN | OBSERVERS | {"postgres"}) - services.keys():
        return [f"lacks the service {name}" for name in sorted(missing)]
    findings = []

    def demand(holds, name, promise):
        if not holds:
            findings.append(f"services.{name}: {promise}")

    for name, service in services.items():
        demand(":" in service["image"].rpartition("/")[2], name, "the image must name its version")
        demand(not service["image"].endswith(":latest"), name, "the image must name its version")
        demand(has_no_new_privileges(service), name, "must have security_opt no-new-privileges:true")
        demand(not service.get("privileged") and not service.get("cap_add"), name, "must be given no privileges")
        demand(service.get("network_mode", "none") == "none", name, "must not share another's network")
        for host in published(service):
            demand(is_loopback(host), name, f"publishes a port on {host or 'every interface'}, not on loopback")
        for source, _, is_read_only in mounts(service):
            is_own_file = name in OBSERVERS and (root / source).is_relative_to(root / "deploy") and is_read_only
            demand(source in compose["volumes"] or is_own_file, name, f"mounts {source}, which is not a named volume")
        for variable in environment(service):
            demand(not looks_secret(variable), name, f"{variable}: a secret comes from a file, not the environment")

    for name in sorted(OWN):
        service = services[name]
        demand(service.get("read_only") is True, name, "must be read_only")
        demand(service.get("cap_drop") == ["ALL"], name, "must have cap_drop ALL")
        demand(service.get("user") == OWN_USER, name, f"must run as {OWN_USER}")
        demand(service["image"] == services["signet"]["image"], name, "must be the same image as signet")
        policy = "build" if "build" in service else "never"
        demand(service.get("pull_policy") == policy, name, f"must have pull_policy {policy}, or it may be a stranger's")
    for name, service in services.items():
        for source, target, is_read_only in mounts(service):
            if source == "keys":
                demand(name in ("keys", "signet") and target == "/keys", name, "must not mount the keys there")
                demand(name == "keys" or is_read_only, name, "must mount the keys read-only")

    for name in sorted(OBSERVERS):
        service = services[name]
        demand(service.get("profiles") == ["observability"], name, "must be started on demand only")
        demand(service.get("read_only") is True and service.get("cap_drop") == ["ALL"], name, "must be denied what signet is")
        demand("database" not in service.get("networks", []), name, "must not reach the database")
    demand(services["grafana"].get("networks") == ["observers"], "grafana", "must reach prometheus and nobody else")
    asks = (services["signet"].get("healthcheck") or {}).get("test")
    own = isinstance(asks, list) and asks[:3] == ["CMD", "/usr/local/bin/signet", "healthcheck"]
    demand(own, "signet", "must have a healthcheck that runs signet healthcheck; the image has no other program")

    demand(services["keys"].get("network_mode") == "none", "keys", "writes keys and must have no network")
    demand(not list(published(services["postgres"])), "postgres", "must publish no port")
    for network in services["postgres"].get("networks", ["default"]):
        internal = (compose["networks"].get(network) or {}).get("internal")
        demand(internal is True, "postgres", f"its network {network} must be internal")
    for first, then, condition in [
        ("postgres", "migrate", "service_healthy"),
        ("migrate", "signet", "service_completed_successfully"),
        ("keys", "signet", "service_completed_successfully"),
    ]:
        waits = services[then].get("depends_on", {})
        found = waits.get(first, {}).get("condition") if isinstance(waits, dict) else None
        demand(found == condition, then, f"must wait for {first}: {condition}")
    for name, secret in compose["secrets"].items():
        if "file" not in secret:
            findings.append(f"secrets.{name}: must be a file; Docker gives a read-only container no other kind")
    return findings


def has_no_new_privileges(service):
    return "no-new-privileges:true" in service.get("security_opt", [])


def published(service):
    """The address of each published port; empty for every interface."""
    for port in service.get("ports", []):
        if isinstance(port, dict):
            yield port.get("host_ip", "")
        else:
            # [ADDRESS:[PORT]:]PORT[/PROTOCOL]
            parts = str(port).rpartition(":")[0].rpartition(":")
            yield parts[0].strip("[]")


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def mounts(service):
    """Source, target and whether it is read-only of each mount."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            yield volume.get("source", ""), volume.get("target", ""), volume.get("read_only", False)
        else:
            source, target, *mode = str(volume).split(":")
            yield source, target, "ro" in ",".join(mode).split(",")


def environment(service):
    variables = service.get("environment", {})
    return variables if isinstance(variables, dict) else [variable.partition("=")[0] for variable in variables]


def looks_secret(variable):
    words = ("PASSWORD", "SECRET", "PEPPER", "TOKEN", "DATABASE__URL")
    return any(word in variable for word in words) and not variable.endswith("_FILE")
