"""The command ``python -m wsx``."""

from __future__ import annotations

import sys
from typing import Final

from wsx._doctor import command as doctor

__all__ = ["main"]

_USAGE: Final = "usage: python -m wsx doctor [options] URL"


def main(arguments: list[str]) -> int:
    """Run the subcommand that the first argument names.

    Args:
        arguments: The arguments of the process.

    Returns:
        The exit status.
    """
    if arguments[:1] == ["doctor"]:
        return doctor.main(arguments[1:])
    print(_USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
