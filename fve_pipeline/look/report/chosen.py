"""The section about a coreset: what was chosen against what there is."""

from __future__ import annotations

from collections import Counter

from fve_pipeline.coreset.select import Pool, Tables
from fve_pipeline.coreset.selection import Selection
from fve_pipeline.coreset.summary import summarise
from fve_pipeline.look.report import html
from fve_pipeline.store.reader import Store

__all__ = ["coreset_section"]


def coreset_section(store: Store, selection: Selection) -> str:
    """Shares of datasets and positives of classes, chosen and available. Raises CoresetError when the selection
    does not belong to the store."""
    warnings = selection.check(store.cases.column("case").to_pylist(), store.manifest.content_id)
    tables = Tables(store.cases, store.classes, store.manifest.content_id)
    pool = Pool.of([tables], splits=selection.splits, one_per_subject=selection.one_per_subject)
    summary = summarise(selection, pool)
    table = pool.table
    taken = set(selection.case_ids)
    rows = [row for row, case in enumerate(table.ids) if case in taken]
    chosen = table.take(rows)
    have, whole = chosen.positives(), table.positives()
    some, every = chosen.dataset.counts(), table.dataset.counts()
    datasets = [
        [
            name,
            int(every[code]),
            int(some[code]),
            (html.bar(every[code] / len(table), f"{every[code] / len(table):.1%}"), float(every[code])),
            (html.bar(some[code] / len(rows), f"{some[code] / len(rows):.1%}"), float(some[code])),
        ]
        for code, name in enumerate(table.dataset.names)
    ]
    classes = [
        [key.dataset, key.class_id, key.name, int(whole[number]), int(have[number])]
        for number, key in enumerate(table.classes)
    ]
    reasons = Counter(text.split(":")[0] for text in selection.table.column("reason").to_pylist())
    head = html.facts(
        [
            ("chosen", f"{summary['cases']:,} of {summary['eligible']:,} cases"),
            ("method", f"{selection.method}, seed {selection.seed}"),
            ("datasets", f"{summary['datasets']} of {summary['pool_datasets']}"),
            *(
                (f"classes with {k}+", f"{summary[f'classes_{k}']} of {summary[f'pool_classes_{k}']}")
                for k in (1, 5, 10)
            ),
        ]
    )
    notes = "".join(html.paragraph(note, "note") for note in (*warnings, *selection.notes))
    return html.section(
        "coreset",
        "The coreset against the whole",
        head,
        notes,
        html.table(
            ["dataset", "cases", "chosen", "share of all", "share of chosen"],
            datasets,
            caption="Datasets",
            raw=(3, 4),
        ),
        html.table(
            ["dataset", "id", "class", "cases", "chosen"],
            classes,
            caption="Positive cases of classes",
            limit=2000,
        ),
        html.details(
            "Why they were taken",
            html.table(
                ["reason", "cases"], [list(item) for item in reasons.most_common()], caption="Reasons"
            ),
        ),
    )
