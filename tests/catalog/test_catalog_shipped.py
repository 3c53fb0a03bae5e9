"""The shipped catalogs against the layouts that their datasets are downloaded in, and their label tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from fve_pipeline.catalog import discover, file_problems, load_catalog, shipped_catalogs
from fve_pipeline.catalog.prompts import side_of

MSD = [
    "imagesTr/._{0}.nii.gz",
    "imagesTr/{0}.nii.gz",
    "labelsTr/{0}.nii.gz",
    "imagesTs/other_2.nii.gz",
    "dataset.json",
]


def msd(case: str) -> list[str]:
    return [path.format(case) for path in MSD]


def brats(case: str, sep: str, *kinds: str) -> list[str]:
    return [f"{case}/{case}{sep}{kind}.nii.gz" for kind in kinds]


def chaos(folder: str, slices: str) -> list[str]:
    return [
        f"Train_Sets/{folder}/{slices}/IMG-0001-00001.dcm",
        f"Train_Sets/{folder}/Ground/IMG-0001-00001.png",
    ]


# Told apart by what is in their files: tests/catalog/test_catalog_clinical.py makes them as DICOM.
CLINICAL = {"autopet_dicom", "lctsc", "nsclc_radiomics"}
# The files of a miniature, a folder or two of what lies beside them, and the (case, subject, split) to be found.
LAYOUTS: dict[str, tuple[list[str], list[tuple[str, str, str | None]]]] = {
    "demo_ct": (["ct/a/image.nii.gz", "ct/a/labels.nii.gz"], [("a", "demo_ct/a", None)]),
    "demo_ct_dicom": (
        ["ct_dicom/a/series/1.dcm", "ct_dicom/a/labels.nii.gz"],
        [("a", "demo_ct_dicom/a", None)],
    ),
    "demo_mr": (["mr/a.nrrd", "mr/a_seg.nrrd"], [("a", "demo_mr/a", None)]),
    "demo_npz": (["challenge/a.npz"], [("a", "demo_npz/a", None)]),
    "demo_microscopy": (["microscopy/a.tif", "microscopy/a_masks.tif"], [("a", "demo_microscopy/a", None)]),
    "amos22_ct": (
        [
            *(
                f"{kind}Tr/amos_{number}.nii.gz"
                for kind in ("images", "labels")
                for number in ("0001", "0507")
            ),
            *(f"{kind}Va/amos_0008.nii.gz" for kind in ("images", "labels")),
            "imagesTs/amos_0002.nii.gz",
        ],
        [("amos_0001", "amos22/amos_0001", "train"), ("amos_0008", "amos22/amos_0008", "val")],
    ),
    "amos22_mr": (
        [f"{kind}Tr/amos_{number}.nii.gz" for kind in ("images", "labels") for number in ("0001", "0507")],
        [("amos_0507", "amos22/amos_0507", "train")],
    ),
    "msd_task01": (msd("BRATS_001"), [("BRATS_001", "msd_task01/BRATS_001", None)]),
    "msd_task02": (msd("la_003"), [("la_003", "msd_task02/la_003", None)]),
    "msd_task03": (msd("liver_0"), [("liver_0", "lits/0", None)]),
    "msd_task04": (msd("hippocampus_001"), [("hippocampus_001", "msd_task04/hippocampus_001", None)]),
    "msd_task05": (msd("prostate_00"), [("prostate_00", "msd_task05/prostate_00", None)]),
    "msd_task06": (msd("lung_001"), [("lung_001", "msd_task06/lung_001", None)]),
    "msd_task07": (msd("pancreas_001"), [("pancreas_001", "msd_task07/pancreas_001", None)]),
    "msd_task08": (msd("hepaticvessel_001"), [("hepaticvessel_001", "msd_task08/hepaticvessel_001", None)]),
    "msd_task09": (msd("spleen_2"), [("spleen_2", "msd_task09/spleen_2", None)]),
    "msd_task10": (msd("colon_001"), [("colon_001", "msd_task10/colon_001", None)]),
    "flare22": (
        ["images/FLARE22_Tr_0001_0000.nii.gz", "labels/FLARE22_Tr_0001.nii.gz"],
        [("FLARE22_Tr_0001", "flare22/FLARE22_Tr_0001", None)],
    ),
    "hecktor22": (
        [
            "imagesTr/CHUM-001__CT.nii.gz",
            "imagesTr/CHUM-001__PT.nii.gz",
            "labelsTr/CHUM-001.nii.gz",
            "hecktor2022_clinical_info_training.csv",
        ],
        [("CHUM-001", "hecktor/CHUM-001", None)],
    ),
    "btcv": (
        ["Training/img/img0001.nii.gz", "Training/label/label0001.nii.gz", "Testing/img/img0061.nii.gz"],
        [("img0001", "btcv/img0001", None)],
    ),
    "chaos_ct": (chaos("CT/1", "DICOM_anon"), [("1", "chaos_ct/1", None)]),
    "chaos_mr_t1_in": (chaos("MR/31/T1DUAL", "DICOM_anon/InPhase"), [("31", "chaos_mr/31", None)]),
    "chaos_mr_t1_out": (chaos("MR/31/T1DUAL", "DICOM_anon/OutPhase"), [("31", "chaos_mr/31", None)]),
    "chaos_mr_t2": (chaos("MR/31/T2SPIR", "DICOM_anon"), [("31", "chaos_mr/31", None)]),
    "kits23": (
        [
            "case_00000/imaging.nii.gz",
            "case_00000/segmentation.nii.gz",
            "case_00000/instances/kidney_1.nii.gz",
        ],
        [("case_00000", "kits23/case_00000", None)],
    ),
    "lits": (
        ["volume-0.nii", "segmentation-0.nii", "volume-10.nii.gz", "segmentation-10.nii.gz"],
        [("volume-0", "lits/0", None), ("volume-10", "lits/10", None)],
    ),
    "brats21": (
        brats("BraTS2021_00002", "_", "flair", "t1", "t1ce", "t2", "seg"),
        [("BraTS2021_00002", "brats_gli/00002", None)],
    ),
    "brats23_gli": (
        [
            *brats("BraTS-GLI-00002-000", "-", "t2f", "t1n", "t1c", "t2w", "seg"),
            *brats("BraTS-GLI-00002-001", "-", "t2f", "t1n", "t1c", "t2w", "seg"),
        ],
        [("BraTS-GLI-00002-000", "brats_gli/00002", None), ("BraTS-GLI-00002-001", "brats_gli/00002", None)],
    ),
    "autopet_fdg": (
        [
            f"PETCT_1472967bef/12-21-2002-NA-PET-CT-48645/{kind}.nii.gz"
            for kind in ("CT", "CTres", "PET", "SUV", "SEG")
        ],
        [("1472967bef_12-21-2002-NA-PET-CT-48645", "autopet/1472967bef", None)],
    ),
    "autopet3": (
        [
            "imagesTr/fdg_1472967bef_12-21-2002-NA-PET-CT_48645_0000.nii.gz",
            "imagesTr/fdg_1472967bef_12-21-2002-NA-PET-CT_48645_0001.nii.gz",
            "labelsTr/fdg_1472967bef_12-21-2002-NA-PET-CT_48645.nii.gz",
        ],
        [("fdg_1472967bef_12-21-2002-NA-PET-CT_48645", "autopet/1472967bef", None)],
    ),
    "acdc": (
        [
            *(
                f"training/patient001/patient001_{kind}.nii.gz"
                for kind in ("4d", "frame01", "frame01_gt", "frame12", "frame12_gt")
            ),
            "testing/patient101/patient101_frame01.nii.gz",
            "testing/patient101/patient101_frame01_gt.nii.gz",
        ],
        [
            ("patient001_frame01", "acdc/patient001", "train"),
            ("patient001_frame12", "acdc/patient001", "train"),
            ("patient101_frame01", "acdc/patient101", "test"),
        ],
    ),
    "mnms": (
        [
            "Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz",
            "Training/Labeled/A0S9V9/A0S9V9_sa_gt.nii.gz",
            "Training/Unlabeled/B2C2Z7/B2C2Z7_sa.nii.gz",
            "Testing/A1D0Q7/A1D0Q7_sa.nii.gz",
            "Testing/A1D0Q7/A1D0Q7_sa_gt.nii.gz",
        ],
        [
            ("A0S9V9_ED", "mnms/A0S9V9", "train"),
            ("A0S9V9_ES", "mnms/A0S9V9", "train"),
            ("A1D0Q7_ED", "mnms/A1D0Q7", "test"),
            ("A1D0Q7_ES", "mnms/A1D0Q7", "test"),
        ],
    ),
    "promise12": (
        ["Case00.mhd", "Case00.raw", "Case00_segmentation.mhd", "Case00_segmentation.raw"],
        [("Case00", "promise12/Case00", None)],
    ),
    "word": (
        [f"{kind}{part}/word_{part}.nii.gz" for kind in ("images", "labels") for part in ("Tr", "Val", "Ts")],
        [
            ("word_Tr", "word/word_Tr", "train"),
            ("word_Ts", "word/word_Ts", "test"),
            ("word_Val", "word/word_Val", "val"),
        ],
    ),
    "abdomenatlas10": (
        [
            "BDMAP_00000001/ct.nii.gz",
            "BDMAP_00000001/combined_labels.nii.gz",
            "BDMAP_00000001/segmentations/aorta.nii.gz",
        ],
        [("BDMAP_00000001", "abdomenatlas/BDMAP_00000001", None)],
    ),
    "verse": (
        [
            "dataset-verse19training/rawdata/sub-verse004/sub-verse004_ct.nii.gz",
            "dataset-verse19training/derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
            "dataset-verse20test/rawdata/sub-gl003/sub-gl003_dir-ax_ct.nii.gz",
            "dataset-verse20test/derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz",
        ],
        [
            ("verse19_sub-verse004", "verse/sub-verse004", "train"),
            ("verse20_sub-gl003_dir-ax", "verse/sub-gl003", "test"),
        ],
    ),
}

TABLES = {
    "mnms": (
        "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv",
        ",External code,Vendor,ED,ES\n0,A0S9V9,A,0,9\n1,A1D0Q7,B,23,9\n2,B2C2Z7,A,,\n",
    ),
}

# Label ids of the data: as many as the dataset has classes.
IDS: dict[str, set[int]] = {
    "autopet_dicom": {1},
    "hecktor22": {1, 2},
    "lctsc": set(range(1, 6)),
    "nsclc_radiomics": set(range(1, 7)),
    "demo_ct": set(range(1, 7)),
    "demo_ct_dicom": set(range(1, 7)),
    "demo_mr": {1, 2},
    "demo_npz": {1, 2},
    "demo_microscopy": set(),
    "amos22_ct": set(range(1, 16)),
    "amos22_mr": set(range(1, 16)),
    "msd_task01": {1, 2, 3},
    "msd_task02": {1},
    "msd_task03": {1, 2},
    "msd_task04": {1, 2},
    "msd_task05": {1, 2},
    "msd_task06": {1},
    "msd_task07": {1, 2},
    "msd_task08": {1, 2},
    "msd_task09": {1},
    "msd_task10": {1},
    "totalsegmentator_ct": set(range(1, 118)),
    "totalsegmentator_mr": set(range(1, 51)),
    "flare22": set(range(1, 14)),
    "btcv": set(range(1, 14)),
    "chaos_ct": {1},
    "chaos_mr_t1_in": {63, 126, 189, 252},
    "chaos_mr_t1_out": {63, 126, 189, 252},
    "chaos_mr_t2": {63, 126, 189, 252},
    "kits23": {1, 2, 3},
    "lits": {1, 2},
    "brats21": {1, 2, 4},
    "brats23_gli": {1, 2, 3},
    "autopet_fdg": {1},
    "autopet3": {1},
    "acdc": {1, 2, 3},
    "mnms": {1, 2, 3},
    "promise12": {1},
    "word": set(range(1, 17)),
    "abdomenatlas10": set(range(1, 10)),
    "verse": {*range(1, 26), 28},
}

UNIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "demo_ct": {"kidneys": (3, 4)},
    "demo_ct_dicom": {"kidneys": (3, 4)},
    "demo_mr": {"brain with lesion": (1, 2)},
    "msd_task01": {"whole brain tumor": (1, 2, 3), "brain tumor core": (2, 3)},
    "msd_task03": {"liver with tumor": (1, 2)},
    "msd_task04": {"hippocampus": (1, 2)},
    "msd_task05": {"prostate": (1, 2)},
    "msd_task07": {"pancreas with tumor": (1, 2)},
    "kits23": {"kidney with masses": (1, 2, 3), "kidney masses": (2, 3)},
    "lits": {"liver with tumor": (1, 2)},
    "brats21": {"whole tumor": (1, 2, 4), "tumor core": (1, 4)},
    "brats23_gli": {"whole tumor": (1, 2, 3), "tumor core": (1, 3)},
    "acdc": {"left ventricle": (2, 3)},
    "mnms": {"left ventricle": (1, 2)},
}

# A few lines of each table that are easy to get wrong.
NAMES = {
    ("amos22_ct", 9): "inferior vena cava",
    ("amos22_mr", 15): "prostate or uterus",
    ("btcv", 2): "right kidney",
    ("btcv", 13): "left adrenal gland",
    ("flare22", 2): "right kidney",
    ("flare22", 13): "left kidney",
    ("word", 3): "left kidney",
    ("word", 15): "head of the left femur",
    ("abdomenatlas10", 3): "left kidney",
    ("abdomenatlas10", 7): "inferior vena cava",
    ("acdc", 1): "right ventricle cavity",
    ("mnms", 1): "left ventricle cavity",
    ("chaos_mr_t2", 126): "right kidney",
    ("brats21", 4): "enhancing tumor",
    ("brats23_gli", 3): "enhancing tumor",
    ("verse", 8): "vertebra T1",
    ("verse", 25): "vertebra L6",
    ("verse", 28): "vertebra T13",
    ("totalsegmentator_ct", 2): "right kidney",
    ("totalsegmentator_ct", 51): "heart",
    ("totalsegmentator_ct", 92): "left rib 1",
    ("totalsegmentator_ct", 117): "costal cartilages",
    ("totalsegmentator_mr", 10): "left lung",
    ("totalsegmentator_mr", 50): "brain",
}


def make(root: Path, paths: list[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_every_catalog_is_tested() -> None:
    single = {name for name in shipped_catalogs() if not load_catalog(name).is_family}

    assert set(IDS) == single
    assert set(LAYOUTS) | {"totalsegmentator_ct", "totalsegmentator_mr"} | CLINICAL == single


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layout_as_downloaded(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    make(tmp_path, files)
    if name in TABLES:
        table, text = TABLES[name]
        (tmp_path / table).write_text(text)
    catalog = load_catalog(name)

    cases = discover(catalog, tmp_path)

    assert [(case.name, case.subject, case.split) for case in cases] == expected
    assert file_problems(catalog, tmp_path, cases) == []


@pytest.mark.parametrize(("name", "image"), [("totalsegmentator_ct", "ct"), ("totalsegmentator_mr", "mri")])
def test_totalsegmentator_as_downloaded(name: str, image: str, tmp_path: Path) -> None:
    catalog = load_catalog(name)
    make(
        tmp_path,
        [f"s0011/{image}.nii.gz", *(f"s0011/segmentations/{spec.file}.nii.gz" for spec in catalog.classes)],
    )
    (tmp_path / "meta.csv").write_text("image_id;age;split\ns0011;60;val\n")

    [case] = discover(catalog, tmp_path)

    assert case.split == ("val" if name.endswith("ct") else None)
    assert len(case.labels) == len(catalog.classes)
    assert case.labels[0].path == "s0011/segmentations/spleen.nii.gz"
    assert file_problems(catalog, tmp_path, [case]) == []


def test_frames_choose_the_channel_of_image_and_labels(tmp_path: Path) -> None:
    make(tmp_path, LAYOUTS["mnms"][0])
    table, text = TABLES["mnms"]
    (tmp_path / table).write_text(text)

    cases = discover(load_catalog("mnms"), tmp_path)

    assert [case.labels[0].channel for case in cases] == [0, 9, 23, 9]
    assert [case.renditions[0].channel for case in cases] == [0, 9, 23, 9]


@pytest.mark.parametrize("name", sorted(IDS))
def test_label_table(name: str) -> None:
    catalog = load_catalog(name)

    assert catalog.declared_ids == IDS[name]
    assert {spec.name: spec.ids for spec in catalog.classes if spec.is_union} == UNIONS.get(name, {})
    by_id = {spec.id: spec for spec in catalog.classes}
    for (of, class_id), said in NAMES.items():
        if of == name:
            assert by_id[class_id].name == said
    for spec in catalog.classes:
        assert spec.side == side_of(spec.name), spec.name
        assert len(spec.prompts) >= 6
        assert len(set(spec.prompts)) == len(spec.prompts)
        assert all(spec.name.lower() in prompt.lower() for prompt in spec.prompts)


@pytest.mark.parametrize("name", sorted(IDS))
def test_provenance(name: str) -> None:
    catalog = load_catalog(name)

    assert catalog.licence
    assert catalog.citation
    assert catalog.source
    if not name.startswith("demo_"):
        assert catalog.download
        assert catalog.url
