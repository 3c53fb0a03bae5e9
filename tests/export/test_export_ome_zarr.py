"""OME-Zarr 0.5 out: valid by ome-zarr-models, read by zarr-python, lying where the source lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from command import run
from rtstruct_maker import grid, turned

from fve_pipeline.export.volumes import primary, stored_runs
from fve_pipeline.store.reader import open_store
from fve_pipeline.volume.write_ome_zarr import write_ome_zarr


def checked(path: Path) -> None:
    """Raise where a group, or the labels in it, are not as the specification's models have them."""
    models = pytest.importorskip("ome_zarr_models", reason="ome-zarr-models is not to be had for this Python")
    image = models.open_ome_zarr(zarr.open_group(path, mode="r"))
    assert (type(image).__name__, image.ome_zarr_version) == ("Image", "0.5")
    assert image.labels is not None
    assert image.labels.attributes.ome.labels == ["classes"]
    label = models.open_ome_zarr(zarr.open_group(path / "labels" / "classes", mode="r"))
    assert type(label).__name__ == "ImageLabel"


def test_a_store_as_ome_zarr(
    exported: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, _ = exported
    out = tmp_path / "out"
    assert run(monkeypatch, "export", store, "--to", "ome-zarr", "--out", out, "--json") == 0
    json.loads(capsys.readouterr().out)
    runs = primary(list(stored_runs(open_store(store))))
    assert len(list(out.glob("*/*.ome.zarr"))) == len(runs)
    for one in runs:
        path = out / one.dataset / f"{one.name}_{one.rendition}.ome.zarr"
        group = zarr.open_group(path, mode="r")
        np.testing.assert_array_equal(group["0"][:], one.image())
        assert group["0"].metadata.dimension_names == ("z", "y", "x")
        [multiscale] = group.attrs["ome"]["multiscales"]
        scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
        np.testing.assert_allclose(scale["scale"], one.spacing, rtol=1e-5)
        np.testing.assert_allclose(translation["translation"], one.affine[[2, 1, 0], 3], atol=1e-4)
        labels = group["labels/classes"]
        names = {p["label-value"]: p["name"] for p in labels.attrs["ome"]["image-label"]["properties"]}
        if one.dataset == "demo_ct":
            np.testing.assert_array_equal(labels["0"][:], one.labels())
            assert names[1] == "liver"
    for path in {
        one.dataset: p for p in out.glob("*/*.ome.zarr") for one in runs if one.dataset in p.parts
    }.values():
        checked(path)


def test_what_lies_obliquely_has_its_size_alone(tmp_path: Path) -> None:
    affine = grid((2.5, 0.7, 0.5), turned(12, -7, 20))
    image = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write_ome_zarr(tmp_path / "a.ome.zarr", image, (image > 30).astype(np.uint8), affine, {1: "liver"})
    checked(tmp_path / "a.ome.zarr")
    attributes = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs
    [multiscale] = attributes["ome"]["multiscales"]
    [scale] = multiscale["datasets"][0]["coordinateTransformations"]
    np.testing.assert_allclose(scale["scale"], (2.5, 0.7, 0.5))
    assert not any("orientation" in axis for axis in multiscale["axes"])
    np.testing.assert_array_equal(attributes["fve"]["affine_lps_zyx"], affine)
