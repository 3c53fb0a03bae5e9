"""A case's split, from its path, from a table in the dataset, or from lists in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fve_pipeline.catalog.layout import SplitRule
from fve_pipeline.catalog.schema import Catalog
from fve_pipeline.catalog.table import read_table
from fve_pipeline.errors import CatalogError

__all__ = ["split_finder"]

SplitOf = Callable[[str, str, Mapping[str, str]], "str | None"]


def split_finder(catalog: Catalog, root: Path) -> SplitOf:
    """A function of (case name, subject, parts) to ``train``, ``val``, ``test`` or None (not said)."""
    rule = catalog.split
    if rule is None:
        return lambda name, subject, parts: None  # noqa: ARG005
    if rule.part is not None:
        return _by_part(catalog, rule, rule.part)
    if rule.table is not None:
        said = _table(catalog, rule, root / rule.table)
    else:
        lists = (("train", rule.train), ("val", rule.val), ("test", rule.test))
        said = {name: split for split, names in lists for name in names}
    return lambda name, subject, parts: said.get(name, said.get(subject))  # noqa: ARG005


def _by_part(catalog: Catalog, rule: SplitRule, part: str) -> SplitOf:
    def split_of(name: str, subject: str, parts: Mapping[str, str]) -> str:  # noqa: ARG001
        found = rule.values.get(parts[part])
        if found is None:
            msg = (
                f"catalog {catalog.name!r}: the case {name!r} has {{{part}}} = {parts[part]!r}, and [split] "
                f"values knows {', '.join(sorted(rule.values))}. Add it there, or keep it out with "
                f"{{{part}:{'|'.join(sorted(rule.values))}}} in images."
            )
            raise CatalogError(msg)
        return found

    return split_of


def _table(catalog: Catalog, rule: SplitRule, path: Path) -> dict[str, str]:
    rows = read_table(catalog, path, rule.delimiter, str(rule.key), (str(rule.column),))
    known = {"train": "train", "val": "val", "test": "test", **rule.values}
    for name, (text,) in rows.items():
        if text not in known:
            msg = f"{path}: {name!r} has the split {text!r}; expected one of {', '.join(sorted(known))}"
            raise CatalogError(msg)
    return {name: known[text] for name, (text,) in rows.items()}
