"""Each case is asked for its own findings, or for another's: the two sides of fve evaluate --swap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import reports
from command import run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    reports.write_cohort(tmp_path / "data", range(3))  # c0 without a finding, c1 with one, c2 with two
    (tmp_path / "data/reports.toml").write_text(reports.CATALOG)
    return tmp_path / "data"


def test_each_case_is_asked_for_its_own_or_for_anothers(
    root: Path,
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def predict(out: str, *options: object) -> dict[str, list[tuple[int, str]]]:
        asked = ("--catalog", root / "reports.toml", "--findings", "--weights", weights, *options)
        assert run(monkeypatch, "predict", root, *asked, "--out", tmp_path / out) == 0
        found = {}
        for path in sorted((tmp_path / out).glob("*.json")):
            report = json.loads(path.read_text())
            found[report["case"]] = [(one["id"], one["prompt"]) for one in report["classes"]]
            files = sorted((tmp_path / out / report["classes_apart"]).iterdir())
            assert [int(file.name[:5]) for file in files] == [one["id"] for one in report["classes"]]
            assert "rendition soft_tissue" in report["decision"] or "soft_tissue" in str(report["made_by"])
        return found

    said = {
        "c1_ct": [(1, "Nodule 0 of the left lung, 5 mm")],
        "c2_ct": [(1, "Nodule 0 of the left lung, 6 mm"), (2, "Nodule 1 of the left lung, 6 mm")],
    }
    assert predict("true") == said
    assert "volumes have no finding and are left out" in capsys.readouterr().err
    swapped = predict("swapped", "--swap", 1)
    assert swapped == predict("again", "--swap", 1)
    texts = {text for own in said.values() for _, text in own}
    for case, own in said.items():
        assert [number for number, _ in swapped[case]] == [number for number, _ in own]
        for (_, mine), (_, other) in zip(own, swapped[case], strict=True):
            assert other in texts - {mine}


def test_what_cannot_be_asked_is_refused(
    root: Path,
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(reports.CATALOG.split("[findings]")[0])
    catalog = ("--catalog", root / "reports.toml")
    for inputs, options, said in (
        (root, ("--findings",), "a catalog with [findings] is needed"),
        (root, ("--catalog", plain, "--findings"), "reports has no [findings]"),
        (root / "c1_ct.nii.gz", (*catalog, "--findings"), "is no folder"),
        (root, (*catalog, "--swap", 1), "give --findings too"),
        (root, (*catalog, "--findings", "--prompts", "lung"), "not both"),
        (root, (*catalog, "--findings", "--rendition", "bone"), "is none of soft_tissue, lung"),
    ):
        code = run(monkeypatch, "predict", inputs, *options, "--weights", weights, "--out", tmp_path / "no")
        assert code == 2
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "no").exists()
