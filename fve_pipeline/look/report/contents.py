"""Sections about what is in the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from fve_pipeline.coreset.arrow import fixed, ragged, strings
from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.look.report import html
from fve_pipeline.look.report.alerts import Alert
from fve_pipeline.look.report.charts import bubbles, histogram
from fve_pipeline.runtime.units import format_bytes
from fve_pipeline.store.reader import Store

__all__ = ["alerts_section", "classes_section", "geometry_section", "intensity_section", "overview_section"]

Pixels = Mapping[tuple[str, str], list[np.ndarray[Any, np.dtype[np.uint8]]]]


def overview_section(store: Store, table: CaseTable) -> str:
    """How much there is, under which terms, with which settings."""
    manifest, settings = store.manifest, store.settings
    stored = sum(entry.images.size + entry.masks.size for entry in manifest.shards)
    head = html.facts(
        [
            ("encoded slices", f"{manifest.n_samples:,}"),
            ("cases", f"{manifest.n_cases:,}"),
            ("subjects", f"{len(set(table.subject.codes.tolist())):,}"),
            ("datasets", f"{len(manifest.sources):,}"),
            ("classes", f"{len(table.classes):,}"),
            ("failed cases", f"{len(manifest.failures):,}"),
            ("on disk", format_bytes(stored)),
            ("slices are", f"{settings.size} x {settings.size}, {settings.storage}, order {settings.order}"),
            ("preset", settings.preset),
            ("content id", manifest.content_id[:16]),
        ]
    )
    samples = Counter(dict(zip(table.ids, store.cases.column("n_samples").to_pylist(), strict=True)))
    rows = []
    for source in manifest.sources:
        mine = [row for row in range(len(table)) if table.dataset[row] == source.dataset]
        splits = Counter(table.split[row] for row in mine)
        rows.append(
            [
                source.dataset,
                ", ".join(sorted({table.modality[row] for row in mine})),
                source.licence,
                len(mine),
                len({int(table.subject.codes[row]) for row in mine}),
                sum(samples[table.ids[row]] for row in mine),
                sum(key.dataset == source.dataset for key in table.classes),
                *(splits[name] for name in ("train", "val", "test")),
                source.citation,
            ]
        )
    names = [
        "dataset",
        "modality",
        "licence",
        "cases",
        "subjects",
        "slices",
        "classes",
        "train",
        "val",
        "test",
    ]
    datasets = html.table([*names, "cite as"], rows, caption="Datasets, their licences and splits (cases)")
    changed = ", ".join(f"{name} {value}" for name, value in settings.model_dump().items())
    return html.section(
        "overview", "What is in it", head, datasets, html.details("All settings", html.paragraph(changed))
    )


def alerts_section(alerts: Sequence[Alert]) -> str:
    """Things to look at, each with the cases it is about."""
    if not alerts:
        return html.section("look", "Things to look at", html.paragraph("Nothing stands out."))
    parts = []
    for alert in alerts:
        items = "".join(f"<li>{escape(item)}</li>" for item in alert.items[:50])
        more = f"<li>and {len(alert.items) - 50:,} more</li>" if len(alert.items) > 50 else ""
        listed = html.details(f"{len(alert.items):,} listed", f"<ul>{items}{more}</ul>")
        parts.append(
            f'<article class="alert {alert.level}"><h3><span class="tag">{alert.level}</span> '
            f"{escape(alert.title)}</h3>{html.paragraph(alert.text)}{listed}</article>"
        )
    return html.section("look", "Things to look at", *parts)


def classes_section(store: Store, table: CaseTable) -> str:
    """How often each class occurs, and how large it is."""
    splits = [
        np.array([row for row, s in enumerate(table.split) if s == name], np.int64)
        for name in ("train", "val", "test")
    ]
    positives = table.positives()
    by_split = [table.take(rows).positives() for rows in splits]
    slices = _slices_of_class(store, table)
    voxel = np.prod(fixed(table.facts.column("spacing"), 3), axis=1)
    case = np.repeat(np.arange(len(table)), np.diff(table.indptr))
    voxels = ragged(table.facts, "class_voxels")[0].to_numpy(zero_copy_only=False).astype(float)
    volumes = voxels * voxel[case] / 1000
    order = np.argsort(table.indices, kind="stable")
    parts = np.split(volumes[order], np.cumsum(positives)[:-1])
    most = max(int(positives.max(initial=1)), 1)
    rows = []
    for number, key in enumerate(table.classes):
        size = np.percentile(parts[number], [5, 50, 95]) if len(parts[number]) else [np.nan] * 3
        rows.append(
            [
                key.dataset,
                key.class_id,
                key.name,
                (html.bar(positives[number] / most, f"{positives[number]:,}"), int(positives[number])),
                *(int(counts[number]) for counts in by_split),
                int(slices[number]),
                (html.number(float(size[1])), float(np.nan_to_num(size[1], nan=-1))),
                f"{html.number(float(size[0]))} to {html.number(float(size[2]))}"
                if len(parts[number])
                else "–",
            ]
        )
    heads = ["dataset", "id", "class", "cases", "train", "val", "test", "slices", "median mL", "5 to 95 %"]
    return html.section(
        "classes",
        "Classes",
        html.table(heads, rows, caption="Positive cases and slices, and volumes", raw=(3,), limit=2000),
    )


def _slices_of_class(store: Store, table: CaseTable) -> np.ndarray[Any, Any]:
    """How many samples hold each class."""
    number = {(key.dataset, key.class_id): i for i, key in enumerate(table.classes)}
    flat, lengths = ragged(store.index, "class_ids")
    dataset = store.index.column("dataset").combine_chunks()
    names = dataset.dictionary.to_pylist()
    packed = np.repeat(np.asarray(dataset.indices).astype(np.int64), lengths) << 16
    packed |= flat.to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.zeros(len(table.classes), np.int64)
    for key, count in zip(*np.unique(packed, return_counts=True), strict=True):
        out[number[names[int(key) >> 16], int(key) & 0xFFFF]] = count
    return out


def intensity_section(
    table: CaseTable, pixels: Pixels, raw: Mapping[tuple[str, str], tuple[np.ndarray[Any, Any], float, float]]
) -> str:
    """Grey levels of the slices shown above, the rule that made them, and the sources' own values if read."""
    rules: dict[str, Counter[str]] = {}
    for row, decision in enumerate(strings(table.facts, "decision")):
        for part in decision.split("; "):
            rendition, _, rule = part.partition(": ")
            rules.setdefault(f"{table.dataset[row]}/{rendition}", Counter())[rule] += 1
    figures = []
    for (dataset, rendition), images in pixels.items():
        counts = np.bincount(np.concatenate([image.ravel()[::7] for image in images]), minlength=256)
        name = f"{dataset}, {rendition}"
        charts = histogram(counts.reshape(64, 4).sum(1).tolist(), ("0", "255"), f"Grey levels of {name}")
        if (dataset, rendition) in raw:
            values, low, high = raw[dataset, rendition]
            ends = (f"{low:.4g}", f"{high:.4g}")
            charts = histogram(values.tolist(), ends, f"Source values of {name}") + charts
        applied = rules.get(f"{dataset}/{rendition}", Counter())
        told = "; ".join(f"{rule} ({count:,} cases)" for rule, count in applied.most_common(2))
        more = f" and {len(applied) - 2:,} other decisions" if len(applied) > 2 else ""
        figures.append(
            f"<figure>{charts}<figcaption><b>{escape(name)}</b> {escape(told + more)}</figcaption></figure>"
        )
    before = "above the sources' values, below what they became" if raw else "after windowing"
    text = f"Histograms of a sample, {before}; heights by square root."
    return html.section(
        "intensity", "Intensities", html.paragraph(text), f'<div class="grid">{"".join(figures)}</div>'
    )


def geometry_section(store: Store, table: CaseTable) -> str:
    """Views and spacings."""
    view, dataset = (store.index.column(name).combine_chunks() for name in ("view", "dataset"))
    pairs = Counter(zip(np.asarray(dataset.indices).tolist(), np.asarray(view.indices).tolist(), strict=True))
    views, datasets = view.dictionary.to_pylist(), dataset.dictionary.to_pylist()
    rows = []
    for number, name in enumerate(datasets):
        total = sum(pairs[number, place] for place in range(len(views)))
        shares = [
            pairs[number, views.index(v)] if v in views else 0 for v in ("axial", "coronal", "sagittal")
        ]
        rows.append([name, *((html.bar(n / max(total, 1), f"{n:,}"), n) for n in shares)])
    heads = ["dataset", "axial", "coronal", "sagittal"]
    table_of_views = html.table(heads, rows, caption="Slices by view", raw=(1, 2, 3))
    spacing = fixed(table.facts.column("spacing"), 3)
    points = [
        (float(in_plane), float(z)) for z, in_plane in zip(spacing[:, 0], spacing[:, 1:].mean(1), strict=True)
    ]
    chart = bubbles(points, ("in-plane mm", "slice distance mm"), "Spacing of the cases")
    shape = fixed(table.facts.column("shape"), 3)
    sizes = html.table(
        ["", "5 %", "median", "95 %"],
        [
            [name, *(float(v) for v in np.percentile(values, [5, 50, 95]))]
            for name, values in (
                *zip(("slices", "rows", "columns"), shape.T, strict=True),
                *zip(("mm z", "mm y", "mm x"), spacing.T, strict=True),
            )
        ],
        caption="Size and spacing of the volumes",
    )
    figure = f"<figure>{chart}<figcaption>A circle's area is the number of cases.</figcaption></figure>"
    return html.section("geometry", "Views and spacing", table_of_views, figure, sizes)
