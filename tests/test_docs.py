"""The README and the documentation do what they say.

Every command and every Python block of a page runs, in order, in one empty folder. What a page
says to the tests stands in a comment directly above a block, where readers do not see it:

    <!-- file: NAME -->         the block is a file that the reader writes
    <!-- status: N -->          its commands end with this status, not with 0
    <!-- not run: REASON -->

In a `console` block, lines after `$ ` are commands and the others what they print; `…` stands
for any text, on a line of its own for any lines, and `^C` is where the reader presses Ctrl-C.
`<!-- servers: NAMES -->` on a line of its own sends the page's commands to `web_services`.
"""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from web_services import Services

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
OTHERS = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

BLOCK = re.compile(
    r"^(?:<!-- (?P<key>[a-z ]+): (?P<value>[^\n]*?) -->\n)?"
    r"```(?P<language>[\w+]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PIP, LOCAL = "python -m pip install", re.compile(r"python -m pip install (\./[\w-]+)")
SHELLS, RUN = ("sh", "bash"), ("sh", "bash", "console", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with what the comment above it says."""

    line: int
    language: str
    text: str
    key: str = ""
    value: str = ""


def blocks(page: Path) -> list[Block]:
    return blocks_of(page.read_text(encoding="utf-8"))


def blocks_of(text: str) -> list[Block]:
    return [
        Block(
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["text"],
            match["key"] or "",
            match["value"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Reader:
    """Somebody who goes through a page and does what it says, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder / "work", folder / "site"
        self.folder.mkdir()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GANCTL_")}
        scripts = str(Path(sys.executable).parent)
        self.env |= {
            "PATH": os.pathsep.join([scripts, self.env.get("PATH", os.defpath)]),
            "PYTHONPATH": str(self.site),  # where the page's own plugins are installed
            "PYTHONUTF8": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "80",
        }

    def do(self, block: Block) -> None:
        if block.key == "not run":
            return
        if block.key == "file":
            file = self.folder / block.value
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.language in SHELLS:
            for command in block.text.replace("\\\n", "").splitlines():
                self.run(command, expected(block), None)
        elif block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                self.run(command, expected(block), output)
        elif block.language == "python":
            self.check([sys.executable, "-W", "error", "-c", block.text], 0, None)

    def run(self, command: str, status: int, output: str | None) -> None:
        if match := LOCAL.search(command):
            options = f"--quiet --no-deps --no-build-isolation --upgrade --target '{self.site}'"
            command, output = f"{PIP} {options} {match[1]}", None
        elif PIP in command or "python -m venv" in command:
            return  # installing is for test_packaging.py
        self.check(["bash", "-euo", "pipefail", "-c", command], status, output)

    def check(self, arguments: list[str], status: int, output: str | None) -> None:
        interrupt = output is not None and "^C\n" in output
        process = subprocess.Popen(
            arguments,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        if interrupt:
            self.press_ctrl_c(process)
        printed, _ = process.communicate(timeout=600)
        assert process.returncode == status, f"{arguments[-1]}\n{printed}"
        assert "Traceback" not in printed, f"{arguments[-1]}\n{printed}"
        if output:
            wanted = pattern(output.replace("^C\n", ""))
            assert wanted.fullmatch(printed), f"{arguments[-1]}\n{printed}\nis not\n{output}"

    def press_ctrl_c(self, process: subprocess.Popen[str]) -> None:
        """As soon as a run has a checkpoint behind it; a terminal tells the whole group."""
        before = set(self.folder.glob("**/checkpoints/0*"))
        deadline = time.monotonic() + 120
        while set(self.folder.glob("**/checkpoints/0*")) <= before:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)


def expected(block: Block) -> int:
    return int(block.value) if block.key == "status" else 0


def pattern(output: str) -> re.Pattern[str]:
    """What a page shows, as a pattern for what is printed."""
    lines = [
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in output.splitlines()
    ]
    return re.compile("".join(lines))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the documentation shows a POSIX shell")
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.language in RUN for b in blocks(p))], ids=name_of
)
def test_a_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    with Services() as services:
        text = services.adapted(page.read_text(encoding="utf-8"))
        reader.env |= services.env
        for block in blocks_of(text):
            try:
                reader.do(block)
            except AssertionError as error:
                raise AssertionError(f"{name_of(page)}:{block.line}: {error}") from None


def test_every_block_says_what_it_is() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = blocks(page)
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found), name_of(page)
        for block in found:
            where = f"{name_of(page)}:{block.line}"
            assert block.key in ("", "file", "status", "not run"), where
            assert block.language in (*RUN, "toml", "json", "c++", "text", ""), where
            assert block.key != "status" or block.language in ("console", *SHELLS), where


def test_the_comparison_of_output_can_fail() -> None:
    assert pattern("a\n…\nb … c\n").fullmatch("a\nx\ny\nb 17 c\n")
    assert pattern("a\n…\n").fullmatch("a\n")
    assert not pattern("a\nb\n").fullmatch("a\n")
    assert not pattern("a …\n").fullmatch("b c\n")


def reference() -> ModuleType:
    """docs/reference.py, loaded."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says() -> None:
    for page, text in reference().pages().items():
        assert page.read_text(encoding="utf-8") == text, "run: python docs/reference.py"


def test_the_reference_shows_every_option_of_the_real_help() -> None:
    text = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for command in ("train", "resume", "generate", "list-plugins"):
        result = subprocess.run(
            [sys.executable, "-m", "ganctl", command, "--help"],
            env=os.environ | {"COLUMNS": "200", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        flags = set(re.findall(r"(?<![\w.-])--[a-z][a-z-]*(?![\w.])", result.stdout)) - {"--help"}
        assert flags
        for flag in flags:
            assert f"`{flag}`" in sections[command] or flag in ("--data", "--source"), flag


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "reference/command-line.html").is_file()
    assert not list(tmp_path.rglob("*.py"))


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub and mkdocs make them of its headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_internal_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            assert target.startswith(("https://", "http://")), target
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target
