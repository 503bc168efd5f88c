"""A description of the machine, the interpreter and the package versions."""

from __future__ import annotations

import json
import os
import platform
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "txwsx",
    "Twisted",
    "autobahn",
    "picows",
    "aiofastnet",
    "aiohttp",
    "websockets",
    "websocket-client",
    "uvloop",
    "wsproto",
    "pyOpenSSL",
    "cryptography",
)
_PRINT_FORM = (
    "import json, wsx; print(json.dumps(dict(compiled=getattr(wsx, 'compiled', False),"
    " path=wsx.__file__)))"
)


def describe_machine() -> dict[str, Any]:
    """Return the machine, the interpreter and the versions as a JSON-serializable dict."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": sys.version,
        "openssl": ssl.OPENSSL_VERSION,
        "openssl_of_twisted": _twisted_openssl(),
        "load_average": os.getloadavg(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "wsx": describe_wsx(sys.executable),
    }


def summary(machine: dict[str, Any]) -> str:
    """Return two lines for the top of the output: the machine and the versions."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python"
        f" {platform.python_version()}, load average {machine['load_average'][0]:.2f}\n"
        f"wsx is {form(machine['wsx'])} ({machine['wsx']['path']}); {versions}"
    )


def form(wsx: dict[str, Any]) -> str:
    """Return whether an installed wsx is compiled, in words."""
    return "compiled" if wsx["compiled"] else "NOT compiled"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _twisted_openssl() -> str:
    from OpenSSL.SSL import OPENSSL_VERSION, OpenSSL_version

    return OpenSSL_version(OPENSSL_VERSION).decode()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def describe_wsx(python: str) -> dict[str, Any]:
    """Return the form and path of the wsx that is installed for an interpreter.

    Another process imports wsx, without ``WSX_PURE``, as the peers' processes do.
    """
    environment = {name: value for name, value in os.environ.items() if name != "WSX_PURE"}
    command = [python, "-c", _PRINT_FORM]
    output = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found
