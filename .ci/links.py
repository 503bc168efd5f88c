"""Check the links of Markdown pages: ``python .ci/links.py PAGE ...``.

Print each link to a file that does not exist in this checkout, and each link to a heading that does
not exist in its page. Links to other sites are not checked.
"""

import re
import sys
from pathlib import Path

FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^]]*\]\(\s*<?([^)\s>]+)[^)]*\)|^\[[^]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    found: dict[str, int] = {}
    result = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeated = found.get(name, 0)
        found[name] = repeated + 1
        result.add(f"{name}-{repeated}" if repeated else name)
    return result


def problem(page: Path, link: str) -> str | None:
    """Return what is wrong with a link, or None."""
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return None
    path, _, anchor = link.partition("#")
    # The text of a news fragment is moved to CHANGELOG.md.
    is_fragment = page.parent.name == "changes" and page.name != "README.md"
    folder = page.parent.parent if is_fragment else page.parent
    target = folder / path if path else page
    if not target.exists():
        return "no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "no such heading"
    return None


def main(pages: list[str]) -> int:
    """Print a line for each broken link; return the exit status."""
    status = 0
    for page in map(Path, pages):
        for match in LINK.finditer(CODE.sub("", FENCED.sub("", page.read_text()))):
            link = match[1] or match[2]
            if found := problem(page, link):
                print(f"{page}: link to {link}: {found}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
