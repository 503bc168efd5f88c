"""The command ``python -m wsx``."""

from __future__ import annotations

import sys

from wsx._console import main as console
from wsx._console.streams import open_missing_streams
from wsx._doctor import command as doctor

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run the subcommand that the first argument names, or the console.

    Args:
        arguments: The arguments of the process.

    Returns:
        The exit status, if the process has not exited with one.
    """
    open_missing_streams()
    if arguments[:1] == ["doctor"]:
        return doctor.main(arguments[1:])
    console.main(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
