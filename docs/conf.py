"""The configuration of Sphinx: ``nox -s docs`` builds the site in ``build/docs/html``."""

import inspect
import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from twisted.python.reflect import accumulateClassList

import wsx
from wsx import option_types
from wsx.tap import Options

ROOT = Path(__file__).resolve().parents[1]

project = "wsx"
author = "the authors of wsx"
project_copyright = author
release = version = wsx.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
]
exclude_patterns = ["examples/*.py"]
html_static_path = ["static"]
html_css_files = ["wsx.css"]

html_theme = "furo"
html_title = f"wsx {release}"
html_copy_source = False
html_show_sphinx = False

smartquotes = False  # They would turn the two hyphens of an option into a dash.

myst_heading_anchors = 4  # The anchors are those of GitHub, so links work in both places.
myst_enable_extensions = ["deflist", "fieldlist"]

# A name that does not exist is an error. Names of other projects are not looked up, because that
# needs their inventories and thus the network.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(twisted|zope|autobahn|prometheus_client|collections|typing)\b.*"),
    ("py:.*", r"(os|pathlib|ssl|types)\b.*"),
    ("py:.*", r"datetime\b.*"),
    ("py:.*", r"(<InterfaceClass .*|I[A-Z]\w+)"),
    ("py:.*", r"(wsx\.(\w+\.)+)?([A-Z](_co)?|State)"),  # type variables
]

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_use_rtype = False

# Type aliases, classes of which users receive only instances, and bases that users do not see.
PLAIN = {"Deferred", "Function", "HandlerOf", "Name", "ParsedURL", "Random", "Running"}
PLAIN |= {*option_types.__all__} - {*wsx.__all__}
PLAIN |= {"AnyFrame", "EndpointSource", "Faults", "GivenHeaders", "OnPartition"}
PLAIN |= {"Session", "TurnClock"}

# Classes that users do not instantiate.
MADE_BY_WSX = {
    "wsx.Frames",
    "wsx.Client",
    "wsx.RemoteClient",
    "wsx.remote.RemoteSystem",
    "wsx.system.System",
    "wsx.testing.MemoryReactor",
    "wsx.testing.Run",
    "wsx.testing.ServerConnection",
    "wsx.testing.StandIn",
}

# Doctests run in the pages and in the docstrings of the API.
doctest_global_setup = "import wsx\nfrom wsx import *"

# Only "nox -s docs -- --external" looks up addresses of other sites.
linkcheck_timeout = 10
linkcheck_anchors = False
linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost|example\.com|([\w-]+\.)+internal)\b"]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The pages that show a file outside of docs/. Links to the file lead to the page.
SHOWN = {
    "CONTRIBUTING.md": "contributing/guide.md",
    "SECURITY.md": "explanation/reporting.md",
    "CHANGELOG.md": "reference/changelog.md",
    "changes/README.md": "contributing/changes.md",
    "benchmarks/README.md": "contributing/benchmarks.md",
}
# On the page with this comment, the site shows a table of the options of ``twistd wsx``.
OPTIONS = "<!-- The site shows all options here. -->"
INTERFACE = re.compile(r"~?<InterfaceClass (?:\w+\.)*(\w+)>")
LINK = re.compile(r"(!?\[[^]]*\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def show_outside_files(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace a page by the file outside of docs/ that it shows, and correct all links."""
    page = f"{name}.md"
    origin = ROOT / "docs" / page
    for file, shown_by in SHOWN.items():
        if shown_by == page:
            origin = ROOT / file
            source[0] = source[0] + "\n" + origin.read_text().partition("\n")[2]
    source[0] = source[0].replace(OPTIONS, options_table())
    folder = (ROOT / "docs" / page).parent

    def relink(match: re.Match[str]) -> str:
        target = os.path.normpath(origin.parent / match[2])
        known = SHOWN.get(os.path.relpath(target, ROOT))
        if known is not None:
            target = str(ROOT / "docs" / known)
        return f"{match[1]}{os.path.relpath(target, folder)}{match[3] or ''})"

    source[0] = LINK.sub(relink, source[0])


def options_table() -> str:
    """Return a table in Markdown of the options of ``twistd wsx``, with their help texts."""
    rows: list[list[str]] = []
    for name in ("optFlags", "optParameters"):
        accumulateClassList(Options, name, rows)
    texts = {row[0]: row[-1] for row in rows}
    for name in dir(Options):
        if name.startswith("opt_") and name != "opt_help":
            texts[name.removeprefix("opt_").replace("_", "-")] = inspect.getdoc(
                getattr(Options, name)
            )
    cells = {name: str(text).replace("|", "\\|") for name, text in sorted(texts.items())}
    lines = [f"| `--{name}` | {text} |" for name, text in cells.items()]
    return "\n".join(["| option | effect |", "|---|---|", *lines])


def mark_options(app: Sphinx, doctree: nodes.document) -> None:
    """Give the names of options a class, so that the style sheet keeps each on one line."""
    for literal in doctree.findall(nodes.literal):
        if re.fullmatch(r"--[a-z-]+", literal.astext()):
            literal["classes"].append("option")


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Find a name of wsx under its public name; show the names in PLAIN as text."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if name in PLAIN:
        return content
    if name not in wsx.__all__ or node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    kind, page = node["reftype"], node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, kind, f"wsx.{name}", node, content)


def show_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Hide the arguments of classes that users do not instantiate, and shorten interfaces."""
    is_error = what == "exception" and name != "wsx.Exit"
    if is_error or name in MADE_BY_WSX:
        return "", None
    if "<InterfaceClass" not in f"{signature}{returned}":
        return None
    shown = [INTERFACE.sub(r"\1", text or "") for text in (signature, returned)]
    return shown[0], shown[1] or None


def show_public_bases(
    app: Sphinx, name: str, obj: type, options: object, bases: list[type]
) -> None:
    """Replace private base classes by their own public ones."""
    bases[:] = [
        base for base in obj.__mro__[1:] if "._" not in f"{base.__module__}.{base.__name__}"
    ][:1]


def setup(app: Sphinx) -> None:
    app.connect("source-read", show_outside_files)
    app.connect("doctree-read", mark_options)
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("autodoc-process-signature", show_signature)
