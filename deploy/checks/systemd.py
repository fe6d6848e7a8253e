"""deploy/systemd, without a running systemd: by systemd-analyze, and by making the group and the folders elsewhere."""

import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

# What `systemd-analyze security` may say at most, of 10.0; 1.5 was measured, sqlite.conf's folder included.
MAX_EXPOSURE_TENTHS = 16


def check(root):
    if not shutil.which("systemd-analyze"):
        return [], "deploy/systemd: SKIPPED, there is no systemd-analyze (Debian: systemd)"
    folder = root / "deploy/systemd"
    findings = []
    for drop_ins in [[], ["sqlite.conf"]]:
        findings += analyzed(folder, drop_ins)
    findings += promises(folder) + made(folder)
    return findings, "deploy/systemd: accepted by systemd-analyze, and all promises kept"


def analyzed(folder, drop_ins):
    with tempfile.TemporaryDirectory() as scratch:
        unit = Path(scratch) / "signet.service"
        # The program is not installed where this runs; any that is will do.
        text = (folder / "signet.service").read_text()
        unit.write_text(text.replace("/usr/local/bin/signet", "/bin/true"))
        for name in drop_ins:
            (Path(scratch) / "signet.service.d").mkdir()
            drop_in = (folder / name).read_text().replace("/usr/local/bin/signet", "/bin/true")
            (Path(scratch) / "signet.service.d" / name).write_text(drop_in)
        findings = []
        for command in [["verify", "--man=no"], ["security", "--offline=true", f"--threshold={MAX_EXPOSURE_TENTHS}"]]:
            ran = subprocess.run(["systemd-analyze", *command, unit], capture_output=True, text=True)
            # `verify` succeeds in spite of a key that it does not know.
            said = ran.stderr.strip().replace(f"{scratch}/", "")
            if ran.returncode != 0 or said:
                said = said or (ran.stdout.strip().splitlines() or [f"status {ran.returncode}"])[-1]
                findings.append(f"{'+'.join(['signet.service', *drop_ins])}: {command[0]}: {said}")
        return findings


def promises(folder):
    unit = (folder / "signet.service").read_text()
    findings = []

    def demand(holds, promise):
        if not holds:
            findings.append(f"signet.service: {promise}")

    def has(line):
        return re.search(f"^{re.escape(line)}$", unit, re.MULTILINE)

    for line in ["DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "PrivateTmp=yes",
                 "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "LimitCORE=0", "StartLimitIntervalSec=0"]:
        demand(has(line), f"must have {line}")
    demand(not re.search(r"^(ReadWritePaths|StateDirectory|CacheDirectory|LogsDirectory)=", unit, re.MULTILINE), "must write nothing")
    demand(not re.search(r"DATABASE__URL=|PEPPER=", unit), "a secret comes from a file, not the environment")
    patience = re.search(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)
    demand(patience and int(patience[1]) >= 30, "must wait longer than the 20 s that requests under way get")
    return findings


def made(folder):
    """What sysusers.conf and tmpfiles.conf make, in a root of our own; only root may give folders away."""
    if not shutil.which("systemd-tmpfiles") or subprocess.run(["id", "-u"], capture_output=True, text=True).stdout != "0\n":
        return []
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "etc").mkdir()
        for command in [["systemd-sysusers", f"--root={scratch}", folder / "sysusers.conf"],
                        ["systemd-tmpfiles", f"--root={scratch}", "--create", folder / "tmpfiles.conf"]]:
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode != 0:
                return [f"{command[-1].name}: {ran.stderr.strip()}"]
        group = next(line for line in (Path(scratch) / "etc/group").read_text().splitlines() if line.startswith("signet-keys:"))
        keys = (Path(scratch) / "etc/signet/keys").stat()
        expected = (0, int(group.split(":")[2]), 0o2750)
        found = (keys.st_uid, keys.st_gid, stat.S_IMODE(keys.st_mode))
        return [] if found == expected else [f"tmpfiles.conf: makes the key folder {found}, not {expected}"]
