"""One case as the catalog describes it: an image and its labels, before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass

from fve_pipeline.volume.label_file import LabelFile

__all__ = ["Case", "CaseFinding", "Rendition"]


@dataclass(frozen=True, slots=True)
class Rendition:
    """One way of turning a case's image into uint8: a window, or a channel.

    ``image`` replaces the case's image when each channel is a file of its own (nnU-Net's ``_0000``).
    ``channel`` selects one channel of a 4D or multi-channel file. ``window`` is a name known to
    ``fve_pipeline.imaging.intensity`` or None for percentile clipping / pass-through. ``class_ids`` are the label ids
    it is meant for; None means all of them.
    """

    name: str
    window: str | None = None
    channel: int | None = None
    image: str | None = None
    class_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class CaseFinding:
    """A sentence about a case, in one or several wordings, and what it describes.

    That is a mask, the non-zero voxels of ``label``, or ``ids`` of the case's own labels. ``table`` is the file that
    says it.
    """

    texts: tuple[str, ...]
    table: str
    label: LabelFile | None = None
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """An image with its labels. Paths are relative to the dataset's root, with forward slashes.

    ``name`` is unique within ``dataset``; ``id`` is unique in a store. ``subject`` is what splits and
    coresets group by, unique across datasets (the catalog prefixes it unless it says that several datasets
    share subjects). ``split`` is None when the catalog leaves it to hash(subject, seed).
    ``scaled`` is True when the catalog says that the image is already 0..255. ``member`` names the image's array
    in an npz. ``findings`` are its own sentences.
    """

    dataset: str
    name: str
    subject: str
    modality: str
    image: str
    labels: tuple[LabelFile, ...]
    renditions: tuple[Rendition, ...]
    split: str | None = None
    series: str | None = None
    scaled: bool = False
    member: str | None = None
    findings: tuple[CaseFinding, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.dataset}/{self.name}"

    @property
    def label_files(self) -> tuple[LabelFile, ...]:
        """The label files, those of findings last."""
        return (*self.labels, *(one.label for one in self.findings if one.label is not None))
