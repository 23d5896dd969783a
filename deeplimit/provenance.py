"""Provenance: when, where and with which versions something was computed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deeplimit import fingerprint
from deeplimit.fingerprint import installed

LIBRARIES = (*fingerprint.LIBRARIES, "casadi")


def now() -> str:
    """This second, in universal time."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def here() -> dict[str, Any]:
    """Versions, commit, machine and command line of this process; no path of the machine and no name of its user."""
    return {
        "versions": {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}},
        "commit": _commit(),
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": _memory(),
        },
        "command": [Path(sys.argv[0]).name, *map(_without_folder, sys.argv[1:])],
    }


def _without_folder(argument: str) -> str:
    """A path of this machine by its last name, anything else as it is."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def _processor() -> str:
    """Its name where the system tells it, and its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return ", ".join([*names[:1], platform.machine()])


def _memory() -> float | None:
    """In units of 1e9 bytes, where the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _commit() -> str:
    """The commit of the code, with "-dirty" where package or studies differ from it."""
    root = Path(__file__).parent.parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "deeplimit", "studies")
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
