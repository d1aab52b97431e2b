"""What is in the package: the explicit list against the disk, constraints against dependencies."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
#: Modules that aren't called as their package is.
IMPORTED_AS = {"pillow": "PIL"}


def packages_on_disk() -> dict[str, Path]:
    """Import name and folder of every package of the checkout."""
    found = {}
    for package, folder in SETUPTOOLS["package-dir"].items():
        for init in (CHECKOUT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(CHECKOUT / folder).parts
            found[".".join([package, *inner])] = init.parent
    return found


def test_the_list_of_packages_is_complete():
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_on_disk())


def test_every_module_lies_in_a_package():
    loose = [
        path.relative_to(CHECKOUT)
        for folder in SETUPTOOLS["package-dir"].values()
        for path in (CHECKOUT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").is_file()
    ]
    assert loose == []


def test_nothing_lies_where_the_hosts_search_would_stumble():
    # The host imports everything it finds beside a trainer, and pytest everything named conftest.
    assert not (CHECKOUT / "setup.py").exists()
    assert not (CHECKOUT / "conftest.py").exists()
    assert not (CHECKOUT / "tests" / "__init__.py").exists()


def test_constraints_name_tested_versions_of_every_direct_dependency():
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        normalized(line.partition("==")[0]): line.partition("==")[2].partition(";")[0].strip()
        for line in lines
        if "==" in line and not line.startswith("#")
    }
    assert pinned["torch"] == "2.14.1"
    assert pinned["torchvision"] == "0.29.1"
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    names = {normalized(re.split(r"[<>=!; ]", requirement)[0]) for requirement in wanted}
    assert names - set(pinned) == set()
    assert not any("/" in line for line in lines if not line.startswith("#"))


def test_every_dependency_is_imported_somewhere():
    # torchvision is what segmentation_models_pytorch needs to match torch.
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in SETUPTOOLS["package-dir"].values()
        for path in (CHECKOUT / folder).rglob("*.py")
    )
    names = [re.split(r"[<>=!; ]", entry)[0] for entry in PROJECT["project"]["dependencies"]]
    modules = {name: IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    unused = [
        name
        for name, module in modules.items()
        if not re.search(rf"^\s*(import|from) {module}\b", sources, re.MULTILINE)
    ]
    assert unused == ["torchvision"]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
