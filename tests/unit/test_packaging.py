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
IMPORTED_AS = {"pillow": "PIL", "scikit-learn": "sklearn"}


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
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = PROJECT["project"]["dependencies"] + [
        name for extra in extras.values() for name in extra
    ]
    names = {normalized(re.split(r"[<>=!; ]", requirement)[0]) for requirement in wanted}
    assert names - set(pinned) == set()
    assert not any("/" in line for line in lines if not line.startswith("#"))


def test_the_lowest_constraints_are_the_lower_bounds():
    lines = (CHECKOUT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {normalized(name): version for name, version in pinned.items()}
    bounds = {
        normalized(name): bound
        for entry in PROJECT["project"]["dependencies"]
        for name, _, bound in [re.split(r"(>=|$)", entry.partition(",")[0])[:3]]
    }
    assert set(pinned) == set(bounds)
    for name, bound in bounds.items():
        assert f"{pinned[name]}.".startswith(f"{bound}." if bound else ""), name


def test_versions_agree():
    import nnunet_pst

    version = nnunet_pst.__version__
    changes = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)[0] == version
    assert f"\nversion: {version}\n" in (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"{version.rpartition('.')[0]}.x" in (CHECKOUT / "SECURITY.md").read_text("utf-8")
    assert f"nnunet_pst-{version}-py3" in (CHECKOUT / "README.md").read_text(encoding="utf-8")


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
