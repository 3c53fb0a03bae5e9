"""Breaks lines of the modules that promise most, one at a time, and says which break no test: ``make mutate``.

Each mutant runs in a fork of a process that has imported the libraries, so it costs its tests alone.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import signal
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Module: the tests that are to notice.
TARGETS = {
    "fve_pipeline/build/encode/plan.py": ["tests/build/test_plan.py"],
    "fve_pipeline/build/splits.py": ["tests/build/test_splits.py"],
    "fve_pipeline/loading/order.py": ["tests/loading/test_loading_samplers.py"],
    "fve_pipeline/store/commit.py": [
        "tests/store/test_store_commit.py",
        "tests/store/test_store_committed.py",
    ],
    "fve_pipeline/store/shard.py": ["tests/store/test_store_shard.py", "tests/store/test_store_array.py"],
    "fve_pipeline/runtime/executor.py": ["tests/runtime/test_executor.py"],
    "fve_pipeline/metrics/overlap.py": ["tests/metrics", "tests/evaluation/test_evaluation.py"],
    "kernels/fve_kernels/geometry.py": [
        "tests/fve_kernels/test_kernels_cpu.py",
        "tests/imaging/test_encoding.py",
    ],
}
PRELOADED = ("numpy", "numba", "pyarrow.parquet", "pydantic", "scipy.ndimage")
SECONDS = 120  # what takes longer has been made to loop

_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, what was changed, source) for each place: operators, numbers, conditions, calls, statements."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        for what in _changes(node):
            changed = copy.deepcopy(tree)
            twin = next(one for place, one in enumerate(ast.walk(changed)) if place == number)
            _apply(twin, what)
            yield getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(changed))


def _changes(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        return [f"{type(node.ops[0]).__name__} to {_SWAPS[type(node.ops[0])].__name__}"]
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPS:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):  # types, far more often than bits
            return []
        return [f"{type(node.op).__name__} to {_SWAPS[type(node.op)].__name__}"]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [f"{node.value} to {node.value + 1}"]
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return ["condition turned round"]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        return [f"{node.func.id} to {_CALLS[node.func.id]}"]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ["call left out"]
    return []


def _apply(node: Any, what: str) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        node.op = _SWAPS[type(node.op)]()
    elif isinstance(node, ast.Constant):
        node.value += 1
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif what == "call left out":
        node.value = ast.Constant(None)
    else:
        node.func.id = _CALLS[node.func.id]


class _Mutated:
    """Finds one module, and gives it a source of ours."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if (
            self.path != ROOT / f"{name.replace('.', '/')}.py"
            and self.path != ROOT / f"kernels/{name.replace('.', '/')}.py"
        ):
            return None
        source = self.source

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> Any:  # noqa: ARG002 (the loader's protocol)
                return compile(source, self.path, "exec")

        return spec_from_file_location(name, self.path, loader=Loader(name, str(self.path)))


def killed(path: Path, source: str, tests: list[str]) -> bool:
    """Return whether the tests fail with this source, in a fork."""
    import pytest

    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.meta_path.insert(0, _Mutated(path, source))
        code = 1
        try:
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests])
        finally:
            os._exit(int(code != 0))
    _, status = os.waitpid(child, 0)
    return status != 0


def main() -> int:
    """Print a line a survivor and the share killed of each module; exit code 1 below ninety in a hundred."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, help="so many mutants a module, the same each time")
    parser.add_argument("module", nargs="*", default=list(TARGETS), help="files, of those listed in this one")
    asked = parser.parse_args()
    sys.path[:0] = [str(ROOT / folder) for folder in ("", "kernels", "catalogs", "tests/helpers", "tools")]
    os.chdir(ROOT)
    for name in PRELOADED:
        importlib.import_module(name)
    count = dead = 0
    for module in asked.module:
        path, tests = ROOT / module, TARGETS[module]
        source = path.read_text(encoding="utf-8")
        if killed(path, ast.unparse(ast.parse(source)), tests):
            print(f"{module}: its tests fail as it is: {' '.join(tests)}")
            return 2
        found = list(mutants(source))
        if asked.sample and asked.sample < len(found):
            found = random.Random(0).sample(found, asked.sample)
        survivors = [(line, what) for line, what, text in found if not killed(path, text, tests)]
        for line, what in sorted(survivors):
            print(f"{module}:{line}: {what}")
        print(f"{module}: {len(found) - len(survivors)} of {len(found)} killed", flush=True)
        count, dead = count + len(found), dead + len(found) - len(survivors)
    print(f"{dead} of {count} killed, {100 * dead // max(count, 1)} %")
    return int(dead < 0.9 * count)


if __name__ == "__main__":
    sys.exit(main())
