"""Where a dataset's files are, and how subject and split follow from their paths."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from fve_pipeline.catalog.pattern import parse_pattern
from fve_pipeline.catalog.rules import KeyedError

__all__ = ["Frames", "Layout", "Split", "SplitRule"]

Split = Literal["train", "val", "test"]

CLASS_PART = "class"
IMAGE_PART = "image"


class Layout(BaseModel):
    """Globs with named parts (see ``Pattern``); ``images`` without any is the one file or folder of a single case.

    ``labels`` may use the parts of ``images``, ``{class}`` for one file a class, and ``{image}`` for the
    image's own path (npz); a dataset of findings may have none.
    ``case`` and ``subject`` are templates of the same parts; they default to
    ``{case}`` (or all parts joined by ``_``) and to ``{subject}`` (or the case). ``where`` keeps the cases
    whose part, as a number, lies within bounds. ``image_member`` and ``label_member`` name the arrays of an npz
    or HDF5 file.
    With ``sparse``, a class without a file is absent from the case, where one file a class is the form; otherwise a
    missing file fails its case. ``series`` names the DICOM series of a folder with several. ``overlaps`` says whether
    a voxel may have several labels; where it is left out, files decide that may hold such labels: several of a case,
    several layers, DICOM objects.
    ``images_of`` keeps the matches that hold DICOM files of a modality (CT, MR, PT). ``labels_of`` says that labels are
    an RTSTRUCT or SEG: the file, or (a slash at the end) the one below a folder that refers to the image's series;
    with ``sparse``, a case may lack structures. ``threshold`` is the share from which on a voxel of a fractional SEG
    belongs to its segment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: str
    labels: str = ""
    image_member: str | None = Field(default=None, exclude_if=lambda member: member is None)
    label_member: str | None = None
    images_of: str | None = Field(
        default=None, pattern=r"^[A-Z]{2,}$", exclude_if=lambda value: value is None
    )
    labels_of: Literal["RTSTRUCT", "SEG"] | None = Field(default=None, exclude_if=lambda value: value is None)
    threshold: float | None = Field(default=None, gt=0, le=1, exclude_if=lambda value: value is None)
    sparse: bool = False
    case: str = ""
    subject: str = ""
    series: str | None = None
    overlaps: bool | None = Field(default=None, exclude_if=lambda overlaps: overlaps is None)
    where: dict[str, tuple[int, int]] = Field(default_factory=dict)

    @field_validator("images")
    @classmethod
    def _images(cls, text: str) -> str:
        pattern = parse_pattern(text)
        if pattern.has_wildcard and not pattern.parts:
            msg = f"{text!r} has a wildcard but no named part such as {{case}}, so cases would have no name"
            raise ValueError(msg)
        for part in (CLASS_PART, IMAGE_PART):
            if part in pattern.parts:
                msg = f"{{{part}}} belongs in labels; call the part of images something else"
                raise ValueError(msg)
        return text

    @model_validator(mode="after")
    def _whole(self) -> Layout:
        if self.sparse and CLASS_PART not in self.label_parts and self.labels_of is None:
            raise KeyedError(
                "sparse",
                "only labels with one file a class ({class}), or of structures (labels_of), may lack some",
            )
        if self.labels_of is not None and CLASS_PART in self.label_parts:
            raise KeyedError(
                "labels_of", "an RTSTRUCT or SEG holds all classes; labels has one file a class ({class})"
            )
        if self.labels:
            self.check_parts(self.labels, ("labels",), extra=(CLASS_PART, IMAGE_PART))
        self.check_parts(self.case_template, ("case",))
        self.check_parts(self.subject_template, ("subject",))
        if self.series is not None:
            self.check_parts(self.series, ("series",))
        for part, (low, high) in self.where.items():
            if part not in self.parts:
                raise KeyedError(("where", part), f"images has no part {{{part}}}; it has {self._listed()}")
            if low > high:
                raise KeyedError(("where", part), f"the bounds [{low}, {high}] are the wrong way round")
        return self

    def check_parts(self, text: str, key: tuple[str | int, ...], extra: tuple[str, ...] = ()) -> None:
        """Refuse a path or template with a wildcard, or with a part that ``images`` does not have."""
        pattern = parse_pattern(text)
        if pattern.has_wildcard:
            raise KeyedError(
                key, f"{text!r} has a wildcard; only images may, since a case has one file of each kind"
            )
        for part in pattern.parts:
            if part not in (*self.parts, *extra):
                raise KeyedError(
                    key, f"{text!r} uses {{{part}}}, which images does not have; it has {self._listed()}"
                )

    def _listed(self) -> str:
        return ", ".join(f"{{{part}}}" for part in self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The named parts of ``images``."""
        return parse_pattern(self.images).parts

    @property
    def kinds(self) -> dict[str, str]:
        """What each part of ``images`` is restricted to: ``d``, ``a|b``, or nothing."""
        return parse_pattern(self.images).kinds

    @property
    def label_parts(self) -> tuple[str, ...]:
        """The named parts of ``labels``."""
        return parse_pattern(self.labels).parts if self.labels else ()

    @property
    def case_template(self) -> str:
        if self.case:
            return self.case
        if not self.parts:
            return "case"
        return "{case}" if "case" in self.parts else "_".join(f"{{{part}}}" for part in self.parts)

    @property
    def subject_template(self) -> str:
        if self.subject:
            return self.subject
        return "{subject}" if "subject" in self.parts else self.case_template


def _in_root(text: str) -> str:
    if text.startswith(("/", "~")) or ".." in text.split("/") or "\\" in text:
        msg = f"{text!r} must be a path relative to the dataset's root, with forward slashes and without '..'"
        raise ValueError(msg)
    return text


# A file of the dataset: nothing that a catalog names leads out of the folder that it is given.
InRoot = Annotated[str, AfterValidator(_in_root)]


class Frames(BaseModel):
    """One case a frame of a 4D file, where a CSV file under the root says which frames are labelled.

    ``key`` is the column with the name of the case or subject; each of ``columns`` holds a frame's number,
    counted from 0, in images and label maps alike. A case becomes ``name_column`` for each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: InRoot
    key: str
    columns: tuple[str, ...] = Field(min_length=1)
    delimiter: str = ","


class SplitRule(BaseModel):
    """Where a case's split comes from: a part of its path, a table in the dataset, or lists of names.

    - ``part`` with ``values``: the text of that part, translated.
    - ``table`` with ``key``, ``column`` (and ``delimiter``, ``values``): a CSV file under the root; ``key``
      is the column that holds the case's or the subject's name.
    - ``train``, ``val``, ``test``: lists of case or subject names. A case on no list has no split of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str | None = None
    values: dict[str, Split] = Field(default_factory=dict)
    table: InRoot | None = None
    key: str | None = None
    column: str | None = None
    delimiter: str = ","
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> SplitRule:
        lists = bool(self.train or self.val or self.test)
        if (self.part is not None) + (self.table is not None) + lists != 1:
            msg = (
                "say where the split comes from in one way: part, table, or lists of names (train, val, test)"
            )
            raise ValueError(msg)
        if self.part is not None and not self.values:
            raise KeyedError("values", "missing; say which text of the part means train, val or test")
        if self.table is not None and not (self.key and self.column):
            raise KeyedError(
                "table", "needs key (the column with case or subject names) and column (the split's)"
            )
        twice = (
            (set(self.train) & set(self.val))
            | (set(self.train) & set(self.test))
            | (set(self.val) & set(self.test))
        )
        if twice:
            msg = f"{sorted(twice)[0]!r} is on two of the lists"
            raise ValueError(msg)
        return self
