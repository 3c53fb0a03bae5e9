"""Sub-volumes out of a store, and the two commands from files to label maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from command import run
from inline import InlineExecutor

from fve_pipeline.bio2vol.objective import SubVolumes
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.errors import TrainError
from fve_pipeline.loading.share import Share
from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.predictor import Predictor
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.volume import predict_volume
from fve_pipeline.segmenter.checkpoint import save_weights
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.training.config import DataSettings
from fve_pipeline.training.sub_volumes import SubVolumeTraining
from fve_pipeline.volume import read_image

PLAIN = DataSettings(prompts=2, augment="none", order=0)
SETTINGS = Bio2VolSettings(depth=5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 4)


@pytest.fixture(scope="module")
def stores(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    """The same cases as encoded images of order 1 and as plain slices."""
    built = {}
    executor = InlineExecutor()
    for storage in ("encoded", "slices"):
        out = tmp_path_factory.mktemp(storage) / "slices.zarr"
        settings = tiny.settings(storage=storage, val_fraction=0.4, training_views=False, size=64)
        tiny.build(tiny.datasets(root), out, executor, settings=settings)
        built[storage] = open_store(out)
    return built


def test_both_forms_of_storage_give_the_same_plain_slices(stores: dict[str, Store]) -> None:
    ours, theirs = (SubVolumeTraining([stores[n]], PLAIN, SETTINGS) for n in ("encoded", "slices"))
    share = Share(2, 0, 1, 1)
    seen = 0
    for a, b in zip(ours.batches(0, share, 0), theirs.batches(0, share, 0), strict=True):
        assert isinstance(a, SubVolumes)
        assert isinstance(b, SubVolumes)
        assert a.layout == b.layout
        assert (a.prompts, a.samples, a.slices) == (b.prompts, b.samples, b.slices)
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.masks, b.masks)
        assert torch.equal(a.images[:, 0], a.images[:, 1])  # order 0
        seen += len(a)
    assert seen == len(ours) // 2 * 2


def test_a_sub_volume_is_consecutive_and_its_centre_holds_the_first_class(stores: dict[str, Store]) -> None:
    store = stores["slices"]
    data = SubVolumeTraining([store], PLAIN, SETTINGS)
    rows = store.index.to_pylist()
    assert len(data) == len(data.centres) // 5
    assert {rows[i]["split"] for i in data.centres} == {"train"}
    for ticket in range(len(data.centres)):
        batch = data.read([ticket])
        centre = int(data.centres[ticket])
        assert batch.samples == [centre]
        run = [i for i, r in enumerate(rows) if _run(r) == _run(rows[centre])]
        expected = [min(max(centre - 2 + i, run[0]), run[-1]) for i in range(5)]
        own = sorted(set(expected))
        assert batch.layout.image[:5] == tuple(own.index(i) for i in expected)
        np.testing.assert_array_equal(batch.images[:, 0], store.read_slices(own[0], own[-1] + 1))
        assert batch.masks[own.index(centre), 0].any()
        assert len(batch.prompts[0]) == 2


def _run(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["case"], row["rendition"], row["view"]


def test_order_and_prompts_are_functions_of_seed_and_epoch(stores: dict[str, Store]) -> None:
    data = SubVolumeTraining([stores["slices"]], PLAIN, SETTINGS, seed=3)
    whole = list(data.batches(1, Share(4, 0, 1, 1), 0))
    parts = [list(data.batches(1, Share(4, rank, 2, 2), 0)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        pieces = [piece for part in parts for piece in part[2 * step : 2 * step + 2]]
        assert [s for piece in pieces for s in piece.samples] == list(batch.samples)
        assert [p for piece in pieces for p in piece.prompts] == list(batch.prompts)
        np.testing.assert_array_equal(np.concatenate([p.images for p in pieces]), batch.images)
    other = list(data.batches(2, Share(4, 0, 1, 1), 0))
    assert [b.samples for b in other] != [b.samples for b in whole]


def test_encoded_images_as_an_option_and_augmentation_refused(stores: dict[str, Store]) -> None:
    data = SubVolumeTraining([stores["encoded"]], DataSettings(prompts=1, augment="none"), SETTINGS)
    assert data.settings["order"] == 1
    batch = data.read([0])
    row = int(data.runs.of_row(int(data.centres[0]))[0])
    assert not torch.equal(batch.images[:, 0], batch.images[:, 1])
    assert row <= batch.samples[0]
    with pytest.raises(TrainError, match="set it to 'none'"):
        SubVolumeTraining([stores["encoded"]], DataSettings(), SETTINGS)


def test_from_a_store_to_label_maps(
    stores: dict[str, Store], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "train.toml"
    config.write_text(
        "[model]\npreset = 'small'\n[model.change]\ndecoder_layers = 3\nembed_dim = 16\ndim = 32\ntext_layers = 1\n"
        "[optimisation]\nbatch = 2\nepochs = 1\n[data]\nprompts = 1\n[run]\ndevice = 'cpu'\n[bio2vol]\ndepth = 5\n"
    )
    store, out = stores["encoded"].files.url, tmp_path / "run"
    assert (
        run(monkeypatch, "train", store, "--out", out, "--config", config, "--adapt", "bio2vol", "--json")
        == 0
    )
    weights = out / "checkpoints" / "best.pt"
    label_maps = {}
    for name in ("as trained", "bio2vol", "none"):
        adapt = [] if name == "as trained" else ["--adapt", name]
        asked = ["--prompts", "2=ball", "--modality", "CT", "--window", "soft_tissue", "--device", "cpu"]
        found = tmp_path / name
        scan = root / "c00_ct.nii.gz"
        assert run(monkeypatch, "predict", scan, "--weights", weights, "--out", found, *asked, *adapt) == 0
        report = json.loads(next(found.glob("*.json")).read_text())
        assert ("bio2vol" in report["made_by"]) == (name != "none")
        label_maps[name] = read_image(next(found.glob("*.nii.gz"))).array
        presence = report["classes"][0]["views"]["axial"]["presence"]
        label_maps[name + " presence"] = np.array(presence)
    assert label_maps["as trained"].shape == read_image(root / "c00_ct.nii.gz").array.shape
    np.testing.assert_array_equal(label_maps["as trained"], label_maps["bio2vol"])
    assert not np.array_equal(label_maps["bio2vol presence"], label_maps["none presence"])
    assert (
        run(monkeypatch, "predict", root, "--weights", weights, "--out", found, *asked, "--adapt", "x") == 2
    )


def test_whole_volumes_and_mirrors(tmp_path: Path) -> None:
    change = {"embed_dim": 16, "dim": 32, "text_layers": 1, "decoder_layers": 3, "boltzmann": False}
    model = Segmenter(preset("small").model_copy(update=change), seed=1)
    torch.nn.init.constant_(model.sem_seg_head.predictor.classifier.bias, 3.0)
    recorded = {"order": 0, "boundary": "repeat", "resize": "opencv", "size": 64}
    save_weights(tmp_path / "w.pt", model, {**recorded, "bio2vol": SETTINGS.model_dump()})
    image = np.random.default_rng(0).integers(0, 256, (11, 40, 36), dtype=np.uint8)
    targets = [Target(1, "a", "liver"), Target(2, "b", "spleen")]
    found = {}
    for adapt in (None, "none"):
        predictor = Predictor(tmp_path / "w.pt", adapt=adapt)
        for flips in ((), (0,), (2,)):
            done: list[int] = []
            found[adapt, flips] = predict_volume(
                predictor.loaded,
                image,
                targets,
                predictor.settings,
                ["axial"],
                Averaging(flips=flips),
                advance=done.append,
            )
            assert sum(done) == 11
            assert found[adapt, flips].labels.shape == image.shape
    presence = {key: value.presence["axial"] for key, value in found.items()}
    # Order 0 does not tell before from after, and the plain model does not read across slices.
    np.testing.assert_allclose(presence["none", ()], presence["none", (0,)], atol=1e-5)
    assert not np.allclose(presence[None, ()], presence[None, (0,)], atol=1e-4)
    assert not np.allclose(presence[None, ()], presence["none", ()], atol=1e-4)
