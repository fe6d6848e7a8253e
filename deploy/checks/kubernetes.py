"""deploy/kubernetes, without a cluster: against the schemas of the API, and against what its comments promise."""

import json
import tomllib
from pathlib import Path

# The API whose schemas are used; what is here has been in it since 1.25.
API = "v1.37.0-local-strict"
USER = 65532


def check(root):
    folder = root / "deploy/kubernetes"
    files = sorted(path for path in folder.rglob("*.yaml"))
    documents = [(path, document) for path in files for document in parse(path)]
    findings = [
        f"{path.relative_to(root)}: {finding}"
        for path, document in documents
        if not is_of_an_extension(document)
        for finding in against_schema(document)
    ]
    version = tomllib.loads((root / "Cargo.toml").read_text())["package"]["version"]
    findings = findings or [f"deploy/kubernetes: {finding}" for finding in against_promises(folder, documents, version)]
    return findings, "deploy/kubernetes: valid for the API's schemas, and all promises kept"


def parse(path):
    from ruamel.yaml import YAML

    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def is_of_an_extension(document):
    """A kind that the API itself has not got, so that it ships no schema of it."""
    return document["apiVersion"].partition("/")[0] in ("kustomize.config.k8s.io", "monitoring.coreos.com")


def against_schema(document):
    from importlib.util import find_spec

    from jsonschema import Draft7Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    schemas = Path(find_spec("kubernetes_validate").origin).parent / "kubernetes-json-schema" / API
    group, _, version = document["apiVersion"].rpartition("/")
    name = "-".join(filter(None, [document["kind"].lower(), group.removesuffix(".k8s.io").replace(".", "-"), version]))
    path = schemas / f"{name}.json"
    if not path.is_file():
        return [f"{document['apiVersion']} {document['kind']}: the API has no such kind"]

    def retrieve(uri):
        return Resource.from_contents(json.loads((schemas / uri.rpartition("/")[2]).read_text()), default_specification=DRAFT7)

    validator = Draft7Validator(json.loads(path.read_text()), registry=Registry(retrieve=retrieve))
    return [f"{'.'.join(map(str, error.absolute_path)) or 'top level'}: {error.message}" for error in validator.iter_errors(document)]


def against_promises(folder, documents, version):
    findings = []

    def demand(holds, promise):
        if not holds:
            findings.append(promise)

    by_kind = {}
    for path, document in documents:
        if path.parent == folder:
            by_kind.setdefault(document["kind"], []).append(document)
    if missing := {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Kustomization"} - by_kind.keys():
        return [f"lacks a {kind}" for kind in sorted(missing)]

    image = by_kind["Kustomization"][0]["images"][0]
    demand((image["name"], image["newTag"]) == ("signet", version), f"the kustomization's image must be {version}")
    listed = set(by_kind["Kustomization"][0]["resources"])
    present = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    demand(listed == present, f"kustomization.yaml and the folder differ: {sorted(listed ^ present)}")
    demand(not by_kind.get("Secret"), "a secret must not be in a file that is checked in")

    deployment = by_kind["Deployment"][0]
    pod = deployment["spec"]["template"]
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    demand(deployment["spec"]["replicas"] >= 2, "must have two replicas")
    demand(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, "an upgrade must take no instance away first")
    demand(spec["automountServiceAccountToken"] is False, "the pod must have no token of the cluster")
    demand(spec["terminationGracePeriodSeconds"] >= 30, "must wait longer than the 20 s that requests under way get")
    demand(len(spec["topologySpreadConstraints"]) >= 1, "must be spread over nodes")
    security = spec["securityContext"]
    expected = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    demand(expected.items() <= security.items(), f"the pod must run as {USER}")
    demand(security["seccompProfile"] == {"type": "RuntimeDefault"}, "the pod must have the runtime's seccomp profile")

    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    demand(all("secret" in volume for volume in volumes.values()), "nothing but secrets may be mounted")
    demand(all(volume["secret"].get("defaultMode") == 0o400 for volume in volumes.values()), "secrets must be 0400, to which fsGroup adds its group")
    for container in spec["initContainers"] + spec["containers"]:
        name = container["name"]
        of_container = container["securityContext"]
        demand(of_container.get("readOnlyRootFilesystem") is True, f"{name}: must have a read-only root")
        demand(of_container.get("allowPrivilegeEscalation") is False, f"{name}: must gain no privileges")
        demand(of_container.get("capabilities") == {"drop": ["ALL"]}, f"{name}: must have no capabilities")
        demand("memory" in container["resources"]["limits"], f"{name}: must have a limit of memory")
        demand(all(mount.get("readOnly") is True for mount in container["volumeMounts"]), f"{name}: must mount read-only")
        demand(container["image"] == spec["containers"][0]["image"], f"{name}: must be the same image")
        demand(container["image"] == f"signet:{version}", f"{name}: the image must be this release's")
        values = [*by_kind["ConfigMap"][0]["data"], *(variable["name"] for variable in container.get("env", []))]
        secrets = [variable for variable in values if looks_secret(variable)]
        demand(not secrets, f"{name}: {secrets}: a secret comes from a file, not the environment")

    container = spec["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    for probe, path in [("startupProbe", "/health/live"), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")]:
        demand(container[probe]["httpGet"] == {"path": path, "port": "management"}, f"{probe} must ask {path} of the management port")
    demand({"http", "management"} == ports, "the ports must be named http and management")

    for kind, select in [
        ("Deployment", lambda it: it["spec"]["selector"]["matchLabels"]),
        ("Service", lambda it: it["spec"]["selector"]),
        ("PodDisruptionBudget", lambda it: it["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", lambda it: it["spec"]["podSelector"]["matchLabels"]),
    ]:
        for document in by_kind[kind]:
            demand(select(document).items() <= labels.items(), f"{kind} {document['metadata']['name']} selects other pods")

    for service in by_kind["Service"]:
        targets = {port["targetPort"] for port in service["spec"]["ports"]}
        demand(service["spec"].get("type", "ClusterIP") == "ClusterIP", "no service may be reachable from outside by itself")
        demand(targets <= ports and len(targets) == 1, "a service must lead to one named port, so that no ingress can show the other")
    policy = by_kind["NetworkPolicy"][0]["spec"]
    demand(set(policy["policyTypes"]) == {"Ingress", "Egress"}, "the policy must bound both directions")
    demand(all("from" in rule and "ports" in rule for rule in policy["ingress"]), "each rule must say from where to which port")
    demand(all("to" in rule and "ports" in rule for rule in policy["egress"]), "each rule must say whereto and to which port")
    management = [rule for rule in policy["ingress"] if any(port["port"] == "management" for port in rule["ports"])]
    demand(len(management) == 1 and len(management[0]["ports"]) == 1, "one rule of its own must open the management port")
    return findings


def looks_secret(variable):
    words = ("PASSWORD__", "SECRET", "PEPPER", "DATABASE__URL")
    return any(word in variable for word in words) and not variable.endswith("_FILE")
