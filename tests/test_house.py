"""The house: which room may import which, no circles, one word for one thing. docs/explanation/architecture.md draws it."""

from __future__ import annotations

import ast
import fnmatch
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "fve_pipeline": ROOT,
    "fve_kernels": ROOT / "kernels",
    "fve_catalogs": ROOT / "catalogs",
}

GROUND = {"errors", "runtime", "fve_kernels", "metrics"}
# Each room with those that it may import besides the ground. What leads up from here is refused: a room that is
# not named may not be imported.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "metrics": set(),
    "fve_kernels": set(),
    "fve_catalogs": set(),
    "runtime": set(),
    "files": set(),
    "imaging": set(),
    "duplicates": set(),
    "volume": {"files"},
    "store": {"files"},
    "catalog": {"volume", "imaging"},
    "build": {"catalog", "duplicates", "files", "imaging", "store", "volume"},
    "loading": {"files", "imaging", "store"},
    "segmenter": {"files"},
    "bio2vol": {"loading", "segmenter", "store"},
    "training": {"bio2vol", "files", "loading", "segmenter", "store"},
    "ablation": {"files", "training"},
    "evaluation": {"files", "volume"},
    "prediction": {
        *("bio2vol", "build", "catalog", "evaluation", "files", "imaging"),
        *("loading", "segmenter", "store", "training", "volume"),
    },
    "export": {"build", "files", "imaging", "loading", "store", "volume"},
    "coreset": {"build", "files", "imaging", "loading", "segmenter", "store"},
    "look": {
        *("build", "catalog", "coreset", "duplicates", "evaluation", "files", "imaging"),
        *("loading", "store", "volume"),
    },
    "demo": {"build", "catalog", "files", "imaging", "look", "store", "volume"},
}
# The command line, its helper that looks at a machine, and the public names: they see every room.
ABOVE = {"cli", "doctor", "__init__", "__main__"}
ONLY_FROM = {"demo": {"cli", "doctor"}, "cli": {"__main__"}}

# Libraries that one place knows.
LIBRARIES = {
    "torch": {"segmenter", "bio2vol", "loading", "training", "prediction", "coreset", "cli", "doctor"},
    "dask": {"runtime", "doctor"},
    "distributed": {"runtime", "doctor"},
    "zarr": {"store", "files", "volume"},
    "obstore": {"files"},
    "SimpleITK": {"volume", "demo", "doctor"},
    "pydicom": {"volume", "demo"},
    "highdicom": {"volume"},
    "nibabel": {"volume", "demo"},
    "typer": {"cli"},
}
KERNELS_IMPORT = {"llvmlite", "numba", "numpy", "fve_kernels"}  # llvmlite is numba's own


@functools.cache
def modules() -> dict[str, tuple[Path, ast.Module]]:
    """Every module by its dotted name."""
    found = {}
    for package, root in PACKAGES.items():
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = (path, ast.parse(path.read_text(encoding="utf-8")))
    return found


@functools.cache
def imports(name: str) -> tuple[tuple[str, int], ...]:
    """What a module imports, wherever in it, as (dotted name, line)."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(modules()[name][1]):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno}: imports are written in full"
            module = node.module or ""
            inner = [f"{module}.{alias.name}" for alias in node.names]
            found += [(one if one in modules() else module, node.lineno) for one in inner]
    return tuple(dict.fromkeys(found))


def room(name: str) -> str:
    """The room of a module: a folder of fve_pipeline, or one of the other packages."""
    parts = name.split(".")
    if parts[0] != "fve_pipeline":
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


def arrows() -> Iterator[tuple[str, str, int]]:
    """(module, module that it imports, line) between our own modules."""
    for name in modules():
        for imported, line in imports(name):
            if imported.split(".")[0] in PACKAGES:
                yield name, imported, line


def test_rooms_import_only_what_lies_below_them() -> None:
    wrong = []
    for name, imported, line in arrows():
        here, there = room(name), room(imported)
        if here == there or here in ABOVE:
            continue
        if there == "__init__" and imported == "fve_pipeline":
            continue  # its version
        if there not in MAY_IMPORT[here] | (GROUND if here not in GROUND else GROUND - {here}):
            wrong.append(f"{name}:{line} imports {imported}: {here} may not import {there}")
    assert not wrong, "\n".join(wrong)


def test_nothing_leads_back_up() -> None:
    wrong = [
        f"{name}:{line} imports {imported}"
        for name, imported, line in arrows()
        for target, allowed in ONLY_FROM.items()
        if room(imported) == target and room(name) not in {target, *allowed}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_of_rooms_is_itself_without_a_circle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        ready = {name for name, below in MAY_IMPORT.items() if name not in done and below <= done}
        assert ready, f"rooms that need one another: {sorted(set(MAY_IMPORT) - done)}"
        done |= ready


def test_no_two_modules_import_each_other() -> None:
    below: dict[str, set[str]] = defaultdict(set)
    for name, imported, _ in arrows():
        if imported != name and imported in modules():
            below[name].add(imported)
    # A package's own __init__ re-exports its modules, and they may not import it.
    done: set[str] = set()
    while len(done) < len(modules()):
        ready = {name for name in modules() if name not in done and below[name] <= done}
        if not ready:
            left = set(modules()) - done
            tied = {name: sorted(below[name] & left) for name in sorted(left) if below[name] & left}
            pytest.fail(f"modules in a circle, or above one: {tied}")
        done |= ready


def test_a_library_is_known_to_its_own_rooms() -> None:
    wrong = [
        f"{name}:{line} imports {imported}"
        for name in modules()
        for imported, line in imports(name)
        if room(name) not in LIBRARIES.get(imported.split(".")[0], {room(name)})
    ]
    assert not wrong, "\n".join(wrong)


def test_kernels_know_numpy_and_numba_alone() -> None:
    import sys

    wrong = [
        f"{name}:{line} imports {imported}"
        for name in modules()
        if room(name) == "fve_kernels"
        for imported, line in imports(name)
        if (top := imported.split(".")[0]) not in KERNELS_IMPORT and top not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_lies_loose_at_the_top() -> None:
    loose = {path.name for path in (ROOT / "fve_pipeline").glob("*.py")}
    assert loose == {"__init__.py", "__main__.py", "errors.py"}


def test_one_name_one_class() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    twice = {word: places for word, places in homes.items() if len(places) > 1}
    assert not twice


def test_no_folder_of_tests_is_passed_over(request: pytest.FixtureRequest) -> None:
    passed_over = {
        path.parent.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        for part in path.parent.relative_to(ROOT).parts
        if any(fnmatch.fnmatch(part, pattern) for pattern in request.config.getini("norecursedirs"))
    }
    assert passed_over == set()
