"""The naming schemes of public data sets: what a draft pairs is what belongs together, or it stops and says why.

Each scheme has six made cases, named as the data set's documentation shows its files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fve_pipeline.catalog.guess import LayoutGuess, guess_layout
from fve_pipeline.errors import CatalogError

Names = Callable[[int], str]


@dataclass(frozen=True)
class Scheme:
    """``images`` and ``labels`` give the files of case 0 to 5.

    ``stops`` is for schemes whose names alone do not tell what belongs together.
    """

    name: str
    images: tuple[Names, ...]
    labels: tuple[Names, ...]
    stops: bool = False


def every(text: str, first: int = 1) -> Names:
    """``{n}`` in a text is the number of the case."""
    return lambda number: text.format(n=number + first, w="abcdef"[number])


def scheme(
    name: str, images: str | list[str], labels: str | list[str], *, first: int = 1, stops: bool = False
) -> Scheme:
    """A scheme of texts."""
    lists = [[one] if isinstance(one, str) else one for one in (images, labels)]
    ours, theirs = (tuple(every(text, first) for text in texts) for texts in lists)
    return Scheme(name, ours, theirs, stops)


SCHEMES = [
    scheme("AMOS22", "imagesTr/amos_{n:04d}.nii.gz", "labelsTr/amos_{n:04d}.nii.gz"),
    scheme("FLARE22", "images/FLARE22_Tr_{n:04d}_0000.nii.gz", "labels/FLARE22_Tr_{n:04d}.nii.gz"),
    scheme("FLARE22, renamed", "images/FLARE22_Tr_{n:04d}.nii.gz", "labels/FLARE22_Tr_{n:04d}.nii.gz"),
    scheme("BTCV", "Training/img/img{n:04d}.nii.gz", "Training/label/label{n:04d}.nii.gz"),
    scheme("MSD Task02", "imagesTr/la_{n:03d}.nii.gz", "labelsTr/la_{n:03d}.nii.gz"),
    scheme("MSD Task01", "imagesTr/BRATS_{n:03d}.nii.gz", "labelsTr/BRATS_{n:03d}.nii.gz"),
    scheme("MSD Task05", "imagesTr/prostate_{n:02d}.nii.gz", "labelsTr/prostate_{n:02d}.nii.gz"),
    scheme("KiTS23", "case_{n:05d}/imaging.nii.gz", "case_{n:05d}/segmentation.nii.gz", first=0),
    scheme("LiTS", "Training/volume-{n}.nii", "Training/segmentation-{n}.nii", first=0),
    scheme(
        "TotalSegmentator",
        "s{n:04d}/ct.nii.gz",
        ["s{n:04d}/segmentations/liver.nii.gz", "s{n:04d}/segmentations/spleen.nii.gz"],
    ),
    scheme(
        "BraTS21",
        [f"BraTS2021_{{n:05d}}/BraTS2021_{{n:05d}}_{one}.nii.gz" for one in ("flair", "t1", "t1ce", "t2")],
        "BraTS2021_{n:05d}/BraTS2021_{n:05d}_seg.nii.gz",
    ),
    scheme(
        "BraTS23",
        [f"BraTS-GLI-{{n:05d}}-000/BraTS-GLI-{{n:05d}}-000-{one}.nii.gz" for one in ("t1c", "t1n", "t2f", "t2w")],
        "BraTS-GLI-{n:05d}-000/BraTS-GLI-{n:05d}-000-seg.nii.gz",
    ),
    scheme("PROMISE12", "Case{n:02d}.mhd", "Case{n:02d}_segmentation.mhd"),
    scheme("Prostate158", "train/{n:03d}/t2.nii.gz", "train/{n:03d}/t2_anatomy_reader1.nii.gz", stops=True),
    scheme("CT-ORG", "volume-{n}.nii.gz", "labels-{n}.nii.gz", first=0),
    scheme("WORD", "imagesTr/word_{n:04d}.nii.gz", "labelsTr/word_{n:04d}.nii.gz"),
    scheme("AbdomenAtlas", "BDMAP_{n:08d}/ct.nii.gz", [
        "BDMAP_{n:08d}/segmentations/aorta.nii.gz", "BDMAP_{n:08d}/segmentations/liver.nii.gz",
    ]),
    scheme("AbdomenCT-1K", "Image/Case_{n:05d}_0000.nii.gz", "Mask/Case_{n:05d}.nii.gz"),
    scheme("SegRap", ["segrap_{n:04d}/image.nii.gz", "segrap_{n:04d}/image_contrast.nii.gz"],
           ["segrap_{n:04d}/masks/Brain.nii.gz", "segrap_{n:04d}/masks/Eye_L.nii.gz"], first=0),
    scheme("HaN-Seg", "set_1/case_{n:02d}/case_{n:02d}_IMG_CT.nrrd",
           ["set_1/case_{n:02d}/case_{n:02d}_OAR_Bone_Mandible.seg.nrrd",
            "set_1/case_{n:02d}/case_{n:02d}_OAR_Brainstem.seg.nrrd"], stops=True),
    scheme("HECKTOR22", ["imagesTr/CHUM-{n:03d}__CT.nii.gz", "imagesTr/CHUM-{n:03d}__PT.nii.gz"],
           "labelsTr/CHUM-{n:03d}.nii.gz"),
    scheme("autoPET3", ["imagesTr/psma_{n:04d}_0000.nii.gz", "imagesTr/psma_{n:04d}_0001.nii.gz"],
           "labelsTr/psma_{n:04d}.nii.gz"),
    scheme("autoPET FDG", ["PETCT_{n:06d}/study/CTres.nii.gz", "PETCT_{n:06d}/study/SUV.nii.gz"],
           "PETCT_{n:06d}/study/SEG.nii.gz"),
    scheme("COVID-19-CT-Seg", "COVID-19-CT-Seg_20cases/coronacases_{n:03d}.nii.gz",
           "Lung_and_Infection_Mask/coronacases_{n:03d}.nii.gz", stops=True),
    scheme("SegTHOR", "train/Patient_{n:02d}/Patient_{n:02d}.nii.gz", "train/Patient_{n:02d}/GT.nii.gz"),
    scheme("StructSeg", "HaN_OAR/{n}/data.nii.gz", "HaN_OAR/{n}/label.nii.gz"),
    scheme("VerSe", "rawdata/sub-verse{n:03d}/sub-verse{n:03d}_ct.nii.gz",
           "derivatives/sub-verse{n:03d}/sub-verse{n:03d}_seg-vert_msk.nii.gz"),
    scheme("CTPelvic1K", "images/dataset6_CLINIC_{n:04d}_data.nii.gz",
           "masks/dataset6_CLINIC_{n:04d}_mask_4label.nii.gz"),
    scheme("ToothFairy2", "imagesTr/ToothFairy2F_{n:03d}_0000.mha", "labelsTr/ToothFairy2F_{n:03d}.mha"),
    scheme("CrossMoDA", "source_training/crossmoda_{n}_ceT1.nii.gz", "source_training/crossmoda_{n}_Label.nii.gz"),
    scheme("ATLAS R2", "Training/R{n:03d}/sub-r{n:03d}s001_T1w.nii.gz",
           "Training/R{n:03d}/sub-r{n:03d}s001_label-L_desc-T1lesion_mask.nii.gz", stops=True),
    scheme("MRBrainS18", "training/{n}/orig/FLAIR.nii.gz", "training/{n}/segm.nii.gz"),
    scheme("iSeg", ["subject-{n}-T1.nii.gz", "subject-{n}-T2.nii.gz"], "subject-{n}-label.nii.gz"),
    scheme("FeTA", "sub-{n:03d}/anat/sub-{n:03d}_rec-mial_T2w.nii.gz",
           "sub-{n:03d}/anat/sub-{n:03d}_rec-mial_dseg.nii.gz"),
    scheme("SPIDER", "images/{n}_t1.mha", "masks/{n}_t1.mha"),
    scheme("TopCoW", "imagesTr/topcow_mr_{n:03d}_0000.nii.gz", "labelsTr/topcow_mr_{n:03d}.nii.gz"),
    scheme("ImageTBAD", "{n}_image.nii.gz", "{n}_label.nii.gz"),
    scheme("Pancreas-CT", "images/PANCREAS_{n:04d}.nii.gz", "labels/label{n:04d}.nii.gz"),
    scheme("ISLES22", "sub-strokecase{n:04d}/ses-0001/dwi/sub-strokecase{n:04d}_ses-0001_dwi.nii.gz",
           "derivatives/sub-strokecase{n:04d}/ses-0001/sub-strokecase{n:04d}_ses-0001_msk.nii.gz"),
    scheme("WMH", ["Utrecht/{n}/pre/FLAIR.nii.gz", "Utrecht/{n}/pre/T1.nii.gz"], "Utrecht/{n}/wmh.nii.gz",
           first=0, stops=True),
    scheme("NucMM", "images/vol{n:03d}.tif", "labels/vol{n:03d}.tif"),
    scheme("M&Ms", "Training/Labeled/{w}0{n}Q/{w}0{n}Q_sa.nii.gz", "Training/Labeled/{w}0{n}Q/{w}0{n}Q_sa_gt.nii.gz"),
    scheme("CHAOS CT as NIfTI", "ct/{n}/image.nii.gz", "ct/{n}/ground.nii.gz"),
    scheme("LNDb", "data/LNDb-{n:04d}.mhd", "masks/LNDb-{n:04d}_rad1.mhd"),
    scheme("numbers only", "img/{n}.nrrd", "seg/{n}.nrrd"),
    scheme("four digits, equal names", "scans/{n:04d}.nii.gz", "masks/{n:04d}.nii.gz"),
    scheme("dates", "images/p_2023{n:04d}.nii.gz", "labels/p_2023{n:04d}.nii.gz"),
    scheme("two numbers", "images/s{n:02d}_0007.nii.gz", "labels/s{n:02d}_0007.nii.gz"),
]  # fmt: skip


def pairs(guess: LayoutGuess) -> dict[str, set[str]]:
    """Label files by the main image that they were paired with."""
    return {
        guess.images[0].files[case]: {kind.files[case] for kind in guess.labels if case in kind.files}
        for case in guess.matched
    }


def true_pairs(of: Scheme) -> Iterator[tuple[set[str], set[str]]]:
    """(images, labels) of each case."""
    for number in range(6):
        yield {one(number) for one in of.images}, {one(number) for one in of.labels}


@pytest.mark.parametrize("of", SCHEMES, ids=lambda of: of.name)
def test_pairs_are_the_true_ones(of: Scheme) -> None:
    paths = [one(number) for one in (*of.images, *of.labels) for number in range(6)]
    if of.stops:
        with contextlib.suppress(CatalogError):
            assert guess_layout(sorted(paths)) is None
        return
    guess = guess_layout(sorted(paths))
    assert guess is not None
    found = pairs(guess)
    for images, labels in true_pairs(of):
        mine = {image: paired for image, paired in found.items() if image in images}
        assert list(mine.values()) == [labels]
        channels = {
            kind.files[case] for kind in guess.images for case in kind.files if kind.files[case] in images
        }
        assert channels == images


def test_forty_schemes_at_least() -> None:
    assert len({of.name for of in SCHEMES}) >= 40
