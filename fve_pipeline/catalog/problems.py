"""What is wrong with a dataset's files, found by their names alone."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fve_pipeline.catalog.case import Case
from fve_pipeline.catalog.finding_table import read_findings
from fve_pipeline.catalog.pattern import parse_pattern
from fve_pipeline.catalog.personal import personal
from fve_pipeline.catalog.schema import Catalog

__all__ = ["Problem", "file_problems"]

_OPEN = {"unknown", "todo", "tbd", "?"}
_PLACEHOLDER = re.compile(r"(label|class|foreground|object|structure|roi|mask|todo)[ _-]?\d*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``kind`` is for sorting and scripts; ``case`` is empty for what concerns the dataset.

    An ``error`` makes its case fail in a build; a ``warning`` does not, but ought to be looked at.
    """

    level: Literal["error", "warning"]
    kind: str
    dataset: str
    case: str
    message: str


def file_problems(catalog: Catalog, root: Path, cases: Sequence[Case]) -> list[Problem]:
    """Missing labels and channel files, labels without an image, subjects in two splits. Opens no file."""
    return [
        *_missing(root, cases),
        *_orphans(catalog, root, cases),
        *split_subjects(cases),
        *_strangers(catalog, cases),
        *_findings(catalog, root, cases),
        *_left_open(catalog),
    ]


def _left_open(catalog: Catalog) -> list[Problem]:
    """What a draft leaves for a person to fill in: the licence, and classes that are called after their ids."""
    found = []
    if catalog.licence.strip().lower() in _OPEN:
        message = (
            f"licence = {catalog.licence!r}: say under which terms the data may be used, or that nobody knows"
        )
        found.append(Problem("warning", "unknown licence", catalog.name, "", message))
    nameless = [spec.name for spec in catalog.classes if _PLACEHOLDER.fullmatch(spec.name.lower())]
    if nameless:
        message = (
            f"{len(nameless)} classes have no name yet: {', '.join(nameless[:5])}. A model is asked by these words: "
            "write what each one is"
        )
        found.append(Problem("warning", "placeholder classes", catalog.name, "", message))
    return found


def _findings(catalog: Catalog, root: Path, cases: Sequence[Case]) -> list[Problem]:
    """Sentences of cases that are not there, and sentences that may name somebody."""
    if catalog.findings is None:
        return []
    found = []
    known = {case.name for case in cases}
    strange = [name for name in read_findings(catalog.findings, root, catalog.name) if name not in known]
    if strange:
        what = f"findings of {len(strange)} cases that are not there, the first {strange[0]!r}"
        message = f"{catalog.findings.table} has {what}"
        found.append(Problem("warning", "findings without case", catalog.name, "", message))
    for case in cases:
        signs = {sign for one in case.findings for text in one.texts for sign in personal(text)}
        if signs:
            message = f"a sentence in {catalog.findings.table} may hold {', '.join(sorted(signs))}: look before you build"
            found.append(Problem("warning", "personal data", case.dataset, case.name, message))
    return found


def _missing(root: Path, cases: Sequence[Case]) -> list[Problem]:
    found = []
    for case in cases:
        found += [
            Problem("error", "missing labels", case.dataset, case.name, file.lack)
            for file in case.label_files
            if file.lack
        ]
        lost = [
            file.path
            for file in case.label_files
            if file.lack is None and not os.path.exists(root / file.path)
        ]
        if lost:
            of = (
                "no label file"
                if len(lost) == len(case.label_files)
                else f"{len(lost)} of {len(case.label_files)} label files missing"
            )
            message = f"{case.image}: {of}; expected {lost[0]}"
            found.append(Problem("error", "missing labels", case.dataset, case.name, message))
        for rendition in case.renditions:
            if rendition.image is not None and not os.path.exists(root / rendition.image):
                message = f"rendition {rendition.name!r} expects {rendition.image}, which does not exist"
                found.append(Problem("error", "missing image", case.dataset, case.name, message))
    return found


def _orphans(catalog: Catalog, root: Path, cases: Sequence[Case]) -> list[Problem]:
    """Label files that no case claims, where the labels' glob says where to look for them."""
    text = catalog.layout.labels
    if not text or "{image}" in text or "{class}" in text or catalog.layout.labels_of is not None:
        return []
    claimed = {file.path for case in cases for file in case.label_files}
    allowed = {part: kind for part, kind in catalog.layout.kinds.items() if kind}
    for part, kind in allowed.items():
        text = text.replace(f"{{{part}}}", f"{{{part}:{kind}}}", 1)
    found = []
    for path, parts in parse_pattern(text).find(root):
        inside = all(
            low <= int(parts.get(part, low)) <= high for part, (low, high) in catalog.layout.where.items()
        )
        if path not in claimed and inside:
            message = (
                f"{path} is a label file without an image; images are expected as {catalog.layout.images}"
            )
            found.append(Problem("warning", "labels without image", catalog.name, "", message))
    return found


def _strangers(catalog: Catalog, cases: Sequence[Case]) -> list[Problem]:
    """Names on the catalog's split lists that no case and no subject has: misspelt, or not downloaded."""
    rule = catalog.split
    if rule is None:
        return []
    known = {case.name for case in cases} | {case.subject.partition("/")[2] for case in cases}
    unknown = [name for name in (*rule.train, *rule.val, *rule.test) if name not in known]
    if not unknown:
        return []
    message = f"[split] lists {len(unknown)} names that no case or subject has, the first {unknown[0]!r}"
    return [Problem("warning", "unknown name in split", catalog.name, "", message)]


def split_subjects(cases: Sequence[Case]) -> list[Problem]:
    """Subjects whose cases the catalog puts in different splits: a leak from training into the score."""
    by_subject: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        if case.split is not None:
            by_subject[case.subject][case.split].append(case)
    found = []
    for subject, splits in sorted(by_subject.items()):
        if len(splits) > 1:
            first = next(iter(splits.values()))[0]
            where = "; ".join(
                f"{split}: {', '.join(case.id for case in members[:3])}"
                for split, members in sorted(splits.items())
            )
            message = f"the subject {subject!r} is in {len(splits)} splits ({where})"
            found.append(Problem("error", "subject in two splits", first.dataset, first.name, message))
    return found
