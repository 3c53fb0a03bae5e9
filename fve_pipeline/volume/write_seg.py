"""Labels as DICOM SEG, by highdicom: coded segments that refer to the slices they were drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fve_pipeline import __version__
from fve_pipeline.files.atomic import replaced_whole
from fve_pipeline.volume.coded_terms import Coding, coded_term
from fve_pipeline.volume.dicom_source import MadeBy, SourceSeries, description, unquoted
from fve_pipeline.volume.refusal import refusal

__all__ = ["write_segmentation"]

_MAKER = "fve_pipeline"


def write_segmentation(
    out: Path, source: SourceSeries, names: Sequence[str], labels: NDArray[Any], made_by: MadeBy | None
) -> None:
    """Write segments 1, 2, … called ``names`` as one BINARY segmentation object.

    ``labels`` is (slice, row, column) of segment numbers, or (slice, row, column, segment) of masks that may overlap, in
    the order of ``source``. Patient and study are those of the source; the instance and its series are new.
    ``made_by`` None: drawn by people.

    Raises
    ------
    ReadError
        Where the labels are not of the source's shape, or its headers lack what a segmentation must have.
    """
    import highdicom as hd
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues

    source.check(labels.shape[:3])
    how, algorithm = SegmentAlgorithmTypeValues.MANUAL, None
    if made_by is not None:
        how, algorithm = SegmentAlgorithmTypeValues.AUTOMATIC, _algorithm(made_by)
    segments = [_described(number, name, how, algorithm) for number, name in enumerate(names, start=1)]
    with replaced_whole(out) as part, unquoted():
        _made(
            source.name,
            source_images=source.headers,
            pixel_array=source.in_file_order(labels),
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=_beside(source),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=_MAKER,
            manufacturer_model_name=(made_by.name if made_by is not None else _MAKER)[:64],
            software_versions=__version__,
            device_serial_number="-",
            content_label="SEGMENTATION",
            content_description=description(made_by),
        ).save_as(part)


def _made(name: str, **content: Any) -> Any:
    """Return the object, or raise ReadError for source headers that do not make one; highdicom's words may quote them."""
    import highdicom as hd

    try:
        return hd.seg.Segmentation(**content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found = f"headers that highdicom makes no segmentation of ({type(error).__name__})"
        raise refusal(name, found, "those of a whole series", "Write RTSTRUCT or NIfTI") from None


def _described(number: int, name: str, how: Any, algorithm: Any) -> Any:
    import highdicom as hd

    term = coded_term(name)
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=_code(term.category),
        segmented_property_type=_code(term.type),
        algorithm_type=how,
        algorithm_identification=algorithm,
        anatomic_regions=[_code(term.region)] if term.region is not None else None,
    )
    if term.side is not None:
        place = (
            described.SegmentedPropertyTypeCodeSequence
            if term.region is None
            else described.AnatomicRegionSequence
        )[0]
        tag = (
            "SegmentedPropertyTypeModifierCodeSequence"
            if term.region is None
            else "AnatomicRegionModifierSequence"
        )
        setattr(place, tag, [_code(term.side)])
    return described


def _algorithm(made_by: MadeBy) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    return hd.AlgorithmIdentificationSequence(
        name=made_by.name[:64],
        family=codes.cid7162.ArtificialIntelligence,
        version=made_by.version[:64],
        source=_MAKER,
        parameters=dict(made_by.parameters) or None,
    )


def _code(coding: Coding) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(coding.code, coding.scheme, coding.meaning)


def _beside(source: SourceSeries) -> int:
    """Return a series number that stands next to the source's in an archive's list."""
    return 1000 + int(source.headers[0].get("SeriesNumber") or 0) % 1_000_000
