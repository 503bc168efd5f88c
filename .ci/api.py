"""Check the API in a built documentation: ``python .ci/api.py build/docs/html``.

Print each public name of wsx that the page does not describe, each private name on it, and each
option of ``twistd wsx`` that the page about it does not describe.
"""

import html
import re
import sys
from pathlib import Path

from sphinx.util.inventory import InventoryFile

import wsx
from wsx.tap import Options

TAG = re.compile(r"<[^>]+>")
PRIVATE = re.compile(r"(?<![\w.])(?:wsx\.)?(?:\w+\.)*_[a-z]\w*|(?<![\w.])_[A-Z]\w*")


def main(folder: str) -> int:
    """Print a line for each problem; return the exit status."""
    with open(Path(folder, "objects.inv"), "rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    described = {name for kind in inventory if kind.startswith("py:") for name in inventory[kind]}
    missing = {f"wsx.{name}" for name in wsx.__all__} - described
    private = {name for name in described if re.search(r"\._(?!_version__)", name)}
    text = html.unescape(TAG.sub("", Path(folder, "reference", "api.html").read_text()))
    private |= set(PRIVATE.findall(text))
    page = TAG.sub("", Path(folder, "reference", "twistd.html").read_text())
    options = {f"--{name.rstrip('=')}" for name in Options().longOpt} - {"--help"}
    missing |= {name for name in options if not re.search(rf"^{name}\b", page, re.MULTILINE)}
    for name in sorted(missing):
        print(f"{name}: not described")
    for name in sorted(private):
        print(f"{name}: private")
    return 1 if missing or private else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
