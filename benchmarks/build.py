"""What does a build cost beside the script that labs have, and beside decompressing its inputs alone?

    python benchmarks/build.py --cases 40 --folder bench
    python benchmarks/build.py --cases 40 --folder bench --noise

Makes CT volumes of 512×512×100 int16 with labels as .nii.gz, then in one run, each in fresh processes: inflating every
file and nothing else, the script (``build_script.py``), and whole builds, encoded and as plain slices, all with two
processes; the encoded build with one; peak memory of a worker for a quarter of the cases and for all; and, in one
process, where the time of one case goes. ``--noise`` gives the volumes a scanner's noise, air included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from isal import igzip

from fve_kernels.cpu_statistics import label_counts, label_statistics
from fve_pipeline.build.api import build_store
from fve_pipeline.build.settings import store_settings
from fve_pipeline.demo.cohort.benchmark import make_ct_benchmark_case
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.statistics import gradient_energy, quantiles_uint8
from fve_pipeline.imaging.windows import parse_window
from fve_pipeline.runtime.executor import Executor, Task, cluster
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.store.class_table import MaskClasses, MaskValues
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.shard import write_shard
from fve_pipeline.store.volume import write_volume
from fve_pipeline.volume import hash_files, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

CATALOG = """\
name = "bench"
modality = "CT"
site = "abdomen"
licence = "made here"
citation = "made here"
window = "soft_tissue"
classes = [
{classes}
]
[layout]
images = "{{case}}/image.nii.gz"
labels = "{{case}}/labels.nii.gz"
"""
CLASSES = 16
SIZE = 512
SETTINGS = store_settings(size=SIZE, training_views=False)


def make_cohort(folder: Path, cases: int, shape: tuple[int, int, int], *, noise: bool = False) -> Path:
    """``cases`` volumes with labels; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f'    {{ id = {i}, name = "organ {i}" }}' for i in range(1, CLASSES))
    (folder / "bench.toml").write_text(CATALOG.format(classes=lines))
    for number in range(cases):
        path = folder / f"c{number:03d}"
        if not (path / "labels.nii.gz").exists():
            make_ct_benchmark_case(path, shape, number, noise=noise)
    return folder


def inflate(paths: list[str]) -> int:
    """Read and decompress files whole, as fast as a kept library does it; return their bytes."""
    return sum(len(igzip.decompress(Path(path).read_bytes())) for path in paths)


def worker_peak_mb(executor: Executor) -> float:
    """The largest peak of a worker process since it started, in MB."""
    import resource

    peaks = executor._client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return max(peaks.values()) / 1000


def timed(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    started = clock()
    result = function()
    return clock() - started, result


def measure(root: Path, cases: int, workers: int, scratch: Path, storage: str = "encoded") -> dict[str, Any]:
    """Reading alone and a build of the first ``cases`` cases, on ``workers`` processes."""
    names = [f"c{number:03d}" for number in range(cases)]
    with cluster(workers=workers, memory=12 << 30) as executor:
        warm = [Task(f"warm {i}", ([],), 1) for i in range(workers)]
        list(executor.run(inflate, warm))
        tasks = [
            Task(name, ([str(root / name / "image.nii.gz"), str(root / name / "labels.nii.gz")],), 200 << 20)
            for name in names
        ]
        reading, found = timed(lambda: list(executor.run(inflate, tasks)))
    raw = sum(count for _, count in found)
    out = scratch / f"{storage}_{cases}_{workers}.zarr"
    only = frozenset(f"bench/{name}" for name in names)
    with cluster(workers=workers, memory=12 << 30) as executor:
        building, summary = timed(
            lambda: build_store(
                str(root / "bench.toml"),
                root,
                out,
                settings=SETTINGS.model_copy(update={"storage": storage}),
                work=scratch / out.stem,
                executor=executor,
                only=only,
            )
        )
        peak = worker_peak_mb(executor)
    stored = sum(shard.images.size + shard.masks.size for shard in open_store(out).manifest.shards)
    shutil.rmtree(out)
    shutil.rmtree(scratch / out.stem)
    return {
        "cases": cases,
        "workers": workers,
        "storage": storage,
        "raw_mb": raw / 1e6,
        "reading_s": reading,
        "build_s": building,
        "ratio": building / reading,
        "cases_per_s": cases / building,
        "slices_per_s": summary.samples / building,
        "stored_mb": stored / 1e6,
        "worker_peak_mb": peak,
    }


def script_speed(root: Path, cases: int, out: Path) -> float:
    """Slices a second of the script that labs have, two processes."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("build_script.py")),
        str(root),
        str(out),
        str(cases),
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(out)
    return float(told.split()[-2])


def stages(folder: Path, scratch: Path) -> dict[str, float]:
    """Processor seconds of each step of a build for one case, in this process."""
    spent: dict[str, float] = {}

    def step(label: str, function: Callable[[], Any]) -> Any:
        seconds, result = timed(function, time.process_time)
        spent[label] = spent.get(label, 0.0) + seconds
        return result

    cv2.setNumThreads(1)
    files = LocalFiles(scratch / "stages")
    paths = [folder / "image.nii.gz", folder / "labels.nii.gz"]
    step("inflate both files: reading alone", lambda: inflate([str(path) for path in paths]))
    volume = step("read image", lambda: read_image(paths[0]))
    labels = step("read labels", lambda: read_labels([LabelFile("labels.nii.gz")], folder, volume))
    step("hash sources", lambda: hash_files(paths))
    window = parse_window("soft_tissue")
    image, _ = step("window to uint8", lambda: to_uint8(volume.array, modality="CT", window=window))
    mask = labels.array.astype(np.uint8)
    step("facts of the image", lambda: (quantiles_uint8(image), gradient_energy(image)))
    step("facts of the classes", lambda: label_statistics(labels.array))
    step("hash of the pixels", lambda: hashlib.sha256(image.data).hexdigest())
    step("write prepared", lambda: (write_volume(files, "image", image), write_volume(files, "labels", mask)))
    slab = step("read slabs", lambda: ShardedArray(files, "image").read())
    slab_labels = step("read slabs", lambda: ShardedArray(files, "labels").read())
    fit = Fit((slab.shape[1], slab.shape[2]), SIZE)
    slices = step("resize", lambda: fit.images(slab))
    masks = step("resize", lambda: fit.masks(slab_labels))
    encoded = step("encode", lambda: encode(slices, 1))
    image_codec, masks_codec = pixel_codec(SETTINGS), mask_codec(SETTINGS)
    chunks = step("compress images", lambda: [image_codec.encode_chunk(row[None]) for row in encoded])
    step("compress masks", lambda: [masks_codec.encode_chunk(row[None]) for row in masks])
    step("write shard", lambda: write_shard(files, "shard", chunks, len(chunks)))
    step("digest rows", lambda: [row_digest(("c", 0), a, b) for a, b in zip(slices, masks, strict=True)])
    held = MaskClasses(((1, MaskValues((1,))),), None)
    step("count classes", lambda: [held.present(label_counts(row)) for row in masks])
    shutil.rmtree(scratch / "stages")
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path("bench"))
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shape = (options.slices, SIZE, SIZE)
    name = "noisy" if options.noise else "cohort"
    root = make_cohort((options.folder / name).absolute(), options.cases, shape, noise=options.noise)
    scratch = (options.folder / "scratch").absolute()
    scratch.mkdir(exist_ok=True)
    stages(root / "c000", scratch)  # compiles and warms
    spent = stages(root / "c001", scratch)
    script = script_speed(root, options.cases, scratch / "png")
    runs = [
        measure(root, options.cases, 1, scratch),
        measure(root, max(2, options.cases // 4), 2, scratch),
        measure(root, options.cases, 2, scratch),
        measure(root, options.cases, 2, scratch, "slices"),
    ]
    for run in runs:
        run["of_script"] = run["slices_per_s"] / script
    if options.json:
        print(json.dumps({"stages": spent, "script_slices_per_s": script, "runs": runs}, indent=1))
        return
    print(f"one case of {options.slices} slices of {SIZE}², one process, processor seconds")
    for label, cost in spent.items():
        print(f"  {label:36} {cost:7.3f}")
    print(f"\nthe script, two processes: {script:.0f} slices/s")
    print("\ncases workers storage  reading   build  of reading  of the script  slices/s  worker peak")
    for run in runs:
        print(
            f"{run['cases']:5} {run['workers']:7} {run['storage']:8}{run['reading_s']:6.1f} s {run['build_s']:6.1f} s "
            f"{run['ratio']:9.2f}× {run['of_script']:13.2f}× {run['slices_per_s']:9.0f} {run['worker_peak_mb']:9.0f} MB"
        )
    print(f"\ntwo workers are {runs[0]['build_s'] / runs[2]['build_s']:.2f} times as fast as one")


if __name__ == "__main__":
    main()
