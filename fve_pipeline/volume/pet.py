"""PET in standardised uptake values by body weight, as QIBA's FDG-PET profile computes them from a DICOM series.

Weight and dose are read for the factor alone: no message, note or record holds them, or the factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from fve_pipeline.errors import ReadError
from fve_pipeline.runtime.faults import is_environment_fault
from fve_pipeline.volume.refusal import refusal

__all__ = ["suv_factor"]

_GE = (0x0009, "GEMS_PETD_01", 0x0D)  # when the scan began
_PHILIPS_SUV = (0x7053, "Philips PET Private Group", 0x00)  # from counts to SUV
_PHILIPS_ACTIVITY = (0x7053, "Philips PET Private Group", 0x09)  # from counts to Bq/ml
_LEAST_DOSE = 1e5  # Bq; less was written in another unit
_MOST_HALF_LIVES = 12.0


def suv_factor(files: Sequence[Path], name: str) -> tuple[float, str]:
    """Return what a series' rescaled values are multiplied by to become SUV (body weight), and how it was found.

    BQML with decay corrected to START (the scan's) or ADMIN (the injection's), CNTS with Philips' private factors,
    and GML, which is SUV already.

    Raises ReadError where a value that this needs is missing or cannot be: units, weight, dose, half-life, times.
    """
    try:
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        return _factor(headers, name)
    except Exception as error:  # pydicom raises whatever its parsing runs into
        if isinstance(error, ReadError) or is_environment_fault(error):
            raise
        found = f"a damaged PET header ({type(error).__name__})"
        raise refusal(name, found, "a whole DICOM file", "Export the series again") from None


def _factor(headers: Sequence[Any], name: str) -> tuple[float, str]:
    first = headers[0]
    if first.get("Modality") != "PT":
        found = f"modality {first.get('Modality')}, and a window of SUV"
        raise refusal(name, found, "PET (PT)", "Name another window, or the PET series")
    units = {str(header.get("Units") or "missing") for header in headers}
    if len(units) > 1 or not units & {"BQML", "CNTS", "GML"}:
        found = f"units {', '.join(sorted(units))}"
        raise _lacking(name, found, "BQML, CNTS or GML (0054,1001)")
    [unit] = units
    if unit == "GML":
        kind = str(first.get("SUVType") or "BW")
        if kind != "BW":
            raise _lacking(name, f"SUV of type {kind}", "BW, by body weight (0054,1006)")
        return 1.0, "SUV (body weight) as the file has it (GML)"
    if unit == "CNTS":
        suv = {_private(header, *_PHILIPS_SUV) for header in headers}
        if None not in suv and 0.0 not in suv:
            return _only(suv, name), "SUV (body weight) from counts (CNTS) by Philips' private factor"
        activity = {_private(header, *_PHILIPS_ACTIVITY) for header in headers}
        if None in activity or 0.0 in activity:
            found = "counts (CNTS) without a factor to SUV or Bq/ml"
            raise _lacking(name, found, "Philips' private (7053,1000) or (7053,1009)")
        by_weight, how = _by_weight(headers, name)
        return _only(
            activity, name
        ) * by_weight, f"SUV (body weight) from counts (CNTS) by Philips' Bq/ml, {how}"
    by_weight, how = _by_weight(headers, name)
    return by_weight, f"SUV (body weight) from Bq/ml (BQML), {how}"


def _by_weight(headers: Sequence[Any], name: str) -> tuple[float, str]:
    """Weight in g by the dose in Bq that was left at the time that the image's decay is corrected to."""
    first = headers[0]
    corrected = {str(word) for word in _words(first.get("CorrectedImage"))}
    if not {"ATTN", "DECY"} <= corrected:
        found = f"an image corrected for {', '.join(sorted(corrected)) or 'nothing'}"
        raise _lacking(name, found, "ATTN and DECY at least (0028,0051)")
    weight = _number(first, "PatientWeight", name, "the patient's weight (0010,1030)")
    given = (first.get("RadiopharmaceuticalInformationSequence") or [None])[0]
    if given is None:
        raise _lacking(name, "no radiopharmaceutical", "its sequence (0054,0016)")
    dose = _number(given, "RadionuclideTotalDose", name, "the injected dose (0018,1074)")
    if dose < _LEAST_DOSE:
        raise _lacking(name, "an injected dose that is none in Bq", "Bq (0018,1074)")
    kinds = {str(header.get("DecayCorrection") or "missing") for header in headers}
    if kinds == {"ADMIN"}:
        return weight * 1000 / dose, "decay corrected to the injection (ADMIN)"
    if kinds != {"START"}:
        raise _lacking(name, f"decay correction {', '.join(sorted(kinds))}", "START or ADMIN (0054,1102)")
    half_life = _number(given, "RadionuclideHalfLife", name, "the half-life (0018,1075)")
    scanned, told = _scan_time(headers, half_life, name)
    elapsed = (scanned - _injection_time(given, scanned, name)).total_seconds()
    if not 0 <= elapsed <= _MOST_HALF_LIVES * half_life:
        found = f"{elapsed / half_life:.1f} half-lives from injection to scan"
        raise _lacking(name, found, "from 0 to 12; times of the injection (0018,1072 or 1078) and the scan")
    left = dose * 2 ** (-elapsed / half_life)
    return weight * 1000 / left, f"decay corrected to the scan's start (START), {told}"


def _scan_time(headers: Sequence[Any], half_life: float, name: str) -> tuple[datetime, str]:
    """When the scan began, to which START corrects: the series' time unless that was set after the acquisition."""
    acquired = [moment for header in headers if (moment := _moment(header, "Acquisition")) is not None]
    series = _moment(headers[0], "Series")
    if series is not None and (not acquired or series <= min(acquired)):
        return series, "the series' time"
    if (text := _private_text(headers[0], *_GE)) and (moment := _parsed(text)) is not None:
        return moment, "GE's private scan time"
    if not acquired:
        raise _lacking(name, "no time of series or acquisition", "one (0008,0031 or 0008,0032)")
    # The series was made anew: back from a frame's mean time, as it is told from the scan's start.
    starts = []
    for header in headers:
        moment = _moment(header, "Acquisition")
        reference, duration = (
            _float(header.get("FrameReferenceTime")),
            _float(header.get("ActualFrameDuration")),
        )
        if moment is not None and reference and duration:
            decay = np.log(2) / half_life * duration / 1000
            average = half_life / np.log(2) * np.log(decay / -np.expm1(-decay))
            starts.append(moment + timedelta(seconds=float(average - reference / 1000)))
    if starts:
        return min(starts), "told by the frames' reference times"
    return min(acquired), "the earliest acquisition"


def _injection_time(given: Any, scanned: datetime, name: str) -> datetime:
    if (text := given.get("RadiopharmaceuticalStartDateTime")) and (moment := _parsed(str(text))) is not None:
        return moment
    time = _parsed(f"{scanned:%Y%m%d}{given.get('RadiopharmaceuticalStartTime') or ''}")
    if time is None or not given.get("RadiopharmaceuticalStartTime"):
        raise _lacking(name, "no time of injection", "one (0018,1072 or 0018,1078)")
    return time if time <= scanned else time - timedelta(days=1)  # before midnight


def _moment(header: Any, of: str) -> datetime | None:
    return _parsed(f"{header.get(f'{of}Date') or ''}{header.get(f'{of}Time') or ''}")


def _parsed(text: str) -> datetime | None:
    """Return a date and time as DICOM writes them, without what may follow the seconds' fraction."""
    whole, _, fraction = text.strip().partition("+")[0].partition(".")
    digits = "".join(letter for letter in fraction if letter.isdigit())[:6]
    for form, length in (("%Y%m%d%H%M%S", 14), ("%Y%m%d%H%M", 12)):
        if len(whole) == length and whole.isdigit():
            try:
                moment = datetime.strptime(whole, form)
            except ValueError:  # an hour 25
                return None
            return moment + timedelta(microseconds=int(digits.ljust(6, "0"))) if digits else moment
    return None


def _private(header: Any, group: int, creator: str, element: int) -> float | None:
    return _float(_private_text(header, group, creator, element))


def _private_text(header: Any, group: int, creator: str, element: int) -> str | None:
    try:
        value = header.private_block(group, creator)[element].value
    except KeyError:
        return None
    return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else str(value)


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _number(data: Any, tag: str, name: str, what: str) -> float:
    number = _float(data.get(tag))
    if number is None or number <= 0:
        raise _lacking(name, "no SUV can be computed: missing, zero or no number", what)
    return number


def _only(factors: set[float | None], name: str) -> float:
    if len(factors) > 1:
        raise _lacking(name, f"{len(factors)} factors in one series", "one")
    [factor] = factors
    assert factor is not None
    return factor


def _words(value: Any) -> Sequence[Any]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _lacking(name: str, found: str, expected: str) -> ReadError:
    return refusal(name, found, expected, "Export the series with it, or name a window that is not of SUV")
