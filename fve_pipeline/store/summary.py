"""A store in numbers, from its tables alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.store.generations import GenerationFiles, kept_generations

if TYPE_CHECKING:
    from fve_pipeline.store.reader import Store

__all__ = ["describe_history", "summarise"]


def summarise(store: Store) -> dict[str, Any]:
    """Return what a store holds, in plain values.

    Those are sizes, settings, counts of samples by split, view and rendition, datasets, classes and failures. Reads
    the tables and the manifest, never the arrays.
    """
    manifest, index, cases = store.manifest, store.index, store.cases
    licences = {source.dataset: source.licence for source in manifest.sources}
    return {
        "format_version": manifest.format_version,
        "generation": manifest.generation,
        "samples": manifest.n_samples,
        "cases": manifest.n_cases,
        "subjects": len(pc.unique(cases.column("subject"))),
        "shards": len(manifest.shards),
        "bytes": sum(shard.images.size + shard.masks.size for shard in manifest.shards),
        "content_id": manifest.content_id,
        "settings": manifest.settings.model_dump(),
        "counts": {name: _counted(index.column(name)) for name in ("split", "view", "rendition", "modality")},
        "datasets": [
            {
                "dataset": row["dataset"],
                "modality": row["modality_first"],
                "cases": row["case_count"],
                "samples": row["n_samples_sum"],
                "licence": licences.get(row["dataset"], ""),
            }
            for row in cases.group_by("dataset", use_threads=False)
            .aggregate([("modality", "first"), ("case", "count"), ("n_samples", "sum")])
            .to_pylist()
        ],
        "classes": _classes(store),
        "failures": [failure.model_dump() for failure in manifest.failures],
    }


def describe_history(store: Store) -> dict[str, Any]:
    """Return the store's generation, the older ones that can still be opened, and what each change was."""
    files = store.files.whole if isinstance(store.files, GenerationFiles) else store.files
    return {
        "generation": store.manifest.generation,
        "kept": list(kept_generations(files)),
        "history": [change.model_dump(mode="json") for change in store.manifest.history],
    }


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    counts = pc.value_counts(column.cast(pa.string())).to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counts, key=lambda row: str(row["values"]))}


def _classes(store: Store) -> list[dict[str, Any]]:
    samples = _by_class(store.index.select(["dataset", "class_ids"]))
    cases = _by_class(store.cases.select(["dataset", "class_ids"]))
    return [
        {
            "dataset": entry.dataset,
            "class_id": entry.class_id,
            "name": entry.name,
            "ids": list(entry.ids),
            "instance": entry.instance,
            "prompts": len(entry.prompts),
            "cases": cases.get((entry.dataset, entry.class_id), 0),
            "samples": samples.get((entry.dataset, entry.class_id), 0),
        }
        for entry in store.class_table
    ]


def _by_class(table: pa.Table) -> dict[tuple[str, int], int]:
    """Rows in which a class is present, by (dataset, class id)."""
    lists = table.column("class_ids").combine_chunks()
    parents = pc.list_parent_indices(lists)
    flat = pa.table(
        {
            "dataset": table.column("dataset").combine_chunks().take(parents).cast(pa.string()),
            "class_id": lists.flatten(),
        }
    )
    counted = flat.group_by(["dataset", "class_id"]).aggregate([([], "count_all")]).to_pylist()
    return {(row["dataset"], row["class_id"]): row["count_all"] for row in counted}
