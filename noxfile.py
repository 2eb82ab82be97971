"""Development tasks: `nox -s tests lint types core_alone apart docs startup clients bench`."""

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"
PIN = ("-c", "constraints.txt")


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite; arguments go to pytest (`nox -s tests -- -m 'not slow'`)."""
    session.install(*PIN, ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the direction of imports."""
    session.install(*PIN, "-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on the core and the first-party plugins."""
    session.install(*PIN, "-e", ".[test]")
    session.run("mypy")


@nox.session
def core_alone(session: nox.Session) -> None:
    """The core without one plugin."""
    session.install(*PIN, "./core")
    session.run("ganctl", "list-plugins")
    session.run("ganctl", "doctor")


@nox.session
def apart(session: nox.Session) -> None:
    """Core and MLP GAN as distributions of their own."""
    session.install(*PIN, "./core", "./plugins/mlp")
    session.run("ganctl", "list-plugins", "--check")
    session.chdir(session.create_tmp())
    session.run("ganctl", "train", "--kimg", "4")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; warnings are errors."""
    session.install(*PIN, ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
def startup(session: nox.Session) -> None:
    """CPU time and imports of the commands that must answer at once."""
    session.install(*PIN, ".[test]")
    session.run("python", "-m", "pytest", "tests/test_startup.py")


@nox.session
def clients(session: nox.Session) -> None:
    """The servers that tests of web sources use, asked by other people's clients."""
    session.install(*PIN, ".[test,test-clients]")
    session.run("python", "-m", "pytest", "plugins/web_sources", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The training step beside the usual tutorial code, and beside plain StyleGAN2."""
    session.install(*PIN, ".")
    session.run("python", "benchmarks/mlp_step.py")
    session.run("python", "benchmarks/stylegan2_step.py")
