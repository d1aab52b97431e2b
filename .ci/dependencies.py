"""Write docs/project/dependencies.md: every package that an installation brings, and its license.

    .venv/bin/python .ci/dependencies.py

Read from the metadata of what is installed, so run it with the versions of constraints.txt.
NVIDIA's packages and triton, which torch brings on Linux, are summed up in a sentence.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs" / "project" / "dependencies.md"
OURS = "nnunet-pst"
EXTRAS = ("", "ants", "openvino", "slurm")
HEAD = """# Dependencies and their licenses

Why each direct dependency is there: [0002](../decisions/0002-dependencies.md). This table is
written by `python .ci/dependencies.py` from the metadata of the installed packages (Python 3.11,
Linux), and lists all that `pip install nnunet_pst` and the extras `ants`, `openvino` and `slurm`
bring. The licenses are as the packages state them; nobody here has read their texts for you.
Besides, torch brings NVIDIA's CUDA libraries on Linux, under NVIDIA's own terms, and triton
(MIT).

Software with a copyleft license in the table: {copyleft}.

| package | version | license | direct |
|---|---|---|---|
"""
#: Left to torch.
SKIPPED = re.compile(r"nvidia-|cuda-|triton")


def normalized(name: str) -> str:
    """Spell a package's name as indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def license_of(found: metadata.Distribution) -> str:
    """Return what the package states: the expression, else the classifiers, else a short text."""
    said = found.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier") or []
        if line.startswith("License :: ") and line.count("::") > 1
    ]
    if classifiers:
        return ", ".join(dict.fromkeys(classifiers))
    first = (said.get("License") or "").strip().partition("\n")[0]
    return first[:60] or "not stated"


def ours(extra: str) -> list[str]:
    """Return what pyproject.toml asks for, for an extra or without one."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted: list[str] = (
        project["optional-dependencies"][extra] if extra else project["dependencies"]
    )
    return wanted


def brought() -> dict[str, bool]:
    """Return the normalized names of all packages, and whether pyproject.toml names them."""
    direct: dict[str, bool] = {}
    queue = [(OURS, extra) for extra in EXTRAS]
    seen = set(queue)
    while queue:
        name, extra = queue.pop()
        try:
            requirements = ours(extra) if name == OURS else metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for other systems
        for one in map(Requirement, requirements):
            if one.marker is not None and not one.marker.evaluate({"extra": extra}):
                continue
            found = normalized(one.name)
            if SKIPPED.match(found):
                continue
            direct[found] = direct.get(found, False) or name == OURS
            for wanted in {"", *one.extras}:
                if (found, wanted) not in seen:
                    seen.add((found, wanted))
                    queue.append((found, wanted))
    return direct


def main() -> None:
    """Write the page."""
    rows, copyleft = [], []
    for name, direct in sorted(brought().items()):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        terms = license_of(found).replace("|", "/")
        if re.search(r"GPL|MPL|Mozilla|General Public", terms):
            copyleft.append(f"{name} ({terms})")
        rows.append(f"| {name} | {found.version} | {terms} | {'yes' if direct else ''} |")
    head = HEAD.format(copyleft="; ".join(copyleft) or "none")
    PAGE.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
