"""What would stop the package on Windows or macOS: read from the source, simulated where it can be.

Nothing here replaces a run there: the workflow's jobs for both are marked as experimental.
"""

from __future__ import annotations

import ast
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest

from nnunet_pst.io.csv_text import csv_text

CHECKOUT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("nnunet_pst", "trainers", "dataset_conversion")
    for path in (CHECKOUT / folder).rglob("*.py")
)
#: Calls that Windows lacks, or that behave otherwise there. A file that guards one names it below.
POSIX_ONLY = {
    "os.fork",
    "os.killpg",
    "os.setsid",
    "os.getuid",
    "os.geteuid",
    "os.mkfifo",
    "os.symlink",
    "os.link",
    "os.sched_getaffinity",
    "os.sched_setaffinity",
    "os.statvfs",
    "os.rename",
    "signal.SIGKILL",
    "signal.SIGHUP",
    "signal.alarm",
    "symlink_to",
    "hardlink_to",
}
#: Files whose texts are JSON of ASCII letters alone: any encoding reads them alike.
ASCII_ONLY = {"comparison/methods.py": 2}
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}


def named(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def calls(path: Path) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            name = named(node)
            yield node, name if name in POSIX_ONLY else node.attr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_call_that_another_system_lacks(path: Path):
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    guarded = "sys.platform" in source or "hasattr(os" in source or "os.name" in source
    found = [
        f"{path.name}:{node.lineno}: {name}"
        for node, name in calls(path)
        if name in POSIX_ONLY and not guarded
    ]
    for number, line in enumerate(lines, 1):
        module = re.match(r"\s*(?:import|from) (\w+)", line)
        before = "\n".join(lines[max(0, number - 4) : number])
        if module and module[1] in POSIX_MODULES and "try:" not in before and not guarded:
            found.append(f"{path.name}:{number}: {module[1]}")
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_text_files_name_their_encoding(path: Path):
    loose = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        keywords = {one.arg: one.value for one in node.keywords}
        mode = next((a for a in node.args if isinstance(a, ast.Constant)), keywords.get("mode"))
        binary = isinstance(mode, ast.Constant) and "b" in str(mode.value)
        positional = node.func.attr == "read_text" and node.args
        # What is opened by a member's name, or without a mode, is no file of text.
        text = isinstance(mode, ast.Constant) or "newline" in keywords
        opens = node.func.attr in {"read_text", "write_text"} or (node.func.attr == "open" and text)
        if named(node.func.value) in {"blosc2", "os"}:
            continue
        if opens and not binary and not positional and "encoding" not in keywords:
            loose.append(f"{path.name}:{node.lineno}: {ast.unparse(node)[:60]}")
    place = "/".join(path.relative_to(CHECKOUT).parts[1:])
    assert len(loose) <= ASCII_ONLY.get(place, 0), loose


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_name_that_windows_refuses(path: Path):
    """Constants that look like file names hold no reserved letter and are no device's name."""
    refused = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if "*" in node.value or not re.fullmatch(
            r"\S+\.(csv|json|html|png|svg|tex|md|txt|gz|zip|dcm|pth)", node.value
        ):
            continue
        if re.search(r'[<>:"|?*]', node.value) or PureWindowsPath(node.value).is_reserved():
            refused.append(f"{path.name}:{node.lineno}: {node.value}")
    assert refused == []


def test_names_in_the_checkout_fit_every_file_system():
    names = [
        path.relative_to(CHECKOUT).as_posix()
        for folder in (*{p.relative_to(CHECKOUT).parts[0] for p in SOURCES}, "docs", "tests")
        for path in (CHECKOUT / folder).rglob("*")
        if "__pycache__" not in path.parts and "_build" not in path.parts
    ]
    assert [name for name in names if re.search(r'[<>:"|?*\\]', name)] == []
    folded = [name.casefold() for name in names]
    assert len(folded) == len(set(folded)), "two names differ in capitals only"
    assert [name for name in names if (CHECKOUT / name).is_symlink()] == []


def test_processes_are_spawned_everywhere():
    source = (CHECKOUT / "nnunet_pst" / "io" / "workers.py").read_text(encoding="utf-8")
    assert 'get_context("spawn")' in source
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert 'get_context("fork")' not in text, path.name
        assert not re.search(r"set_start_method\(", text), path.name
    assert "spawn" in multiprocessing.get_all_start_methods()


def test_tables_have_the_same_bytes_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.linesep", "\r\n")
    text = csv_text([("a", "b"), ("1", "2")])
    assert "\r" not in text
