"""What a catalog may say: the frozen models behind the TOML descriptors (docs/catalogs.md)."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fve_pipeline.catalog.finding_table import FindingTable
from fve_pipeline.catalog.ignored import Ignored, ids_of, takes_rest
from fve_pipeline.catalog.layout import Frames, Layout, SplitRule
from fve_pipeline.catalog.pattern import parse_pattern
from fve_pipeline.catalog.prompts import default_prompts
from fve_pipeline.catalog.rules import KeyedError, checked_window
from fve_pipeline.catalog.shared import PromptFile
from fve_pipeline.runtime.text import printable
from fve_pipeline.volume.references import has_modality
from fve_pipeline.volume.structures import Structure

__all__ = ["Catalog", "ClassSpec", "Modality", "RenditionSpec"]

Modality = Literal["CT", "MR", "PET", "US", "Microscopy"]


class ClassSpec(BaseModel):
    """One thing to segment.

    ``ids`` are the label ids that make it up: ``(id,)`` by default, several for a union (whole tumour), none
    for instance data, where the mask's ids are the instances. ``file`` names the class's own file in a
    dataset that ships one file a class, ``layer`` its own layer of a 4D label file, counted from 0, and ``value``
    what it is in that file or layer where it shares it with other classes. Where labels overlap, a voxel stays with
    the classes of the highest ``priority`` (0 unless it is given), and the others yield it. ``structures``
    are names of the class in an RTSTRUCT or DICOM SEG, ``structures_like`` a regular expression that such a name matches
    whole; by default its own name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1, le=65535)
    name: str = Field(min_length=1)
    prompts: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    side: Literal["left", "right"] | None = None
    file: str | None = None
    layer: int | None = Field(default=None, ge=0)
    site: str | None = None
    instance: bool = False
    value: int | None = Field(default=None, ge=1, le=65535, exclude_if=lambda value: value is None)
    priority: int | None = Field(default=None, exclude_if=lambda priority: priority is None)
    structures: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    structures_like: str | None = Field(default=None, exclude_if=lambda pattern: pattern is None)

    @field_validator("structures_like")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            msg = f"{text!r} is no regular expression: {error}"
            raise ValueError(msg) from error
        return text

    @model_validator(mode="before")
    @classmethod
    def _own_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and "ids" not in data and not data.get("instance") and "id" in data:
            return {**data, "ids": (data["id"],)}
        return data

    @field_validator("name", "file", "site")
    @classmethod
    def _plain(cls, text: str | None) -> str | None:
        if text is not None and printable(text) != text:
            msg = f"it holds a control character: {printable(text)!r}; write plain text"
            raise ValueError(msg)
        return text

    @field_validator("prompts")
    @classmethod
    def _said(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        if any(not prompt.strip() for prompt in prompts):
            msg = "a prompt is empty"
            raise ValueError(msg)
        return prompts

    @model_validator(mode="after")
    def _whole(self) -> ClassSpec:
        if self.instance and self.ids:
            raise KeyedError(
                "ids", "an instance class has no ids: every non-zero id of the mask is one instance"
            )
        if len(set(self.ids)) != len(self.ids):
            raise KeyedError("ids", f"an id comes twice in {list(self.ids)}")
        if not self.instance and not self.ids:
            raise KeyedError("ids", "no ids: name the label ids that make up the class, or leave the key out")
        if self.is_union and self.file is not None:
            raise KeyedError("file", "a union has no file of its own: its parts have")
        if self.layer is not None and (self.is_union or self.instance or self.file is not None):
            raise KeyedError("layer", "only a class with an id of its own, and no file, has a layer")
        if self.value is not None and self.file is None and self.layer is None:
            raise KeyedError("value", "only a class that names its file or layer has a value in it; use ids")
        if self.priority is not None and (self.is_union or self.instance):
            raise KeyedError(
                "priority", "only a class with an id of its own yields; give its parts the priority"
            )
        if self.named_structures and (self.is_union or self.instance or self.file or self.layer is not None):
            raise KeyedError(
                "structures", "only a class with an id of its own, and no file or layer, has structures"
            )
        return self

    @property
    def named_structures(self) -> bool:
        """Whether the class says what it is called in an RTSTRUCT or SEG."""
        return bool(self.structures) or self.structures_like is not None

    @property
    def is_union(self) -> bool:
        """Whether the class is made of other label ids than its own."""
        return not self.instance and self.ids != (self.id,)


class RenditionSpec(BaseModel):
    """One way of turning an image into uint8: a window, a channel of the file, or a channel's own file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    window: str | None = None
    channel: int | None = Field(default=None, ge=0)
    image: str | None = None
    classes: tuple[int, ...] | None = None

    _window = field_validator("window")(checked_window)


class Catalog(BaseModel):
    """A dataset as its TOML describes it, or a family of datasets that share one prompt file.

    The keys of the file are its fields. A family has ``prompt_file`` and no classes of its own;
    ``expand(catalog, root)`` turns it into one Catalog a dataset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    modality: Modality | None = None
    technique: str = ""
    site: str = ""
    licence: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    url: str = ""
    download: str = ""
    source: str = ""
    window: str | None = None
    scaled: bool = False
    percentiles_over: Literal["positive", "all"] | None = None
    subjects: str = ""
    ignore: Ignored = ()
    classes: tuple[ClassSpec, ...] = ()
    renditions: tuple[RenditionSpec, ...] = ()
    layout: Layout
    split: SplitRule | None = None
    frames: Frames | None = None
    prompt_file: PromptFile | None = None
    findings: FindingTable | None = Field(default=None, exclude_if=lambda findings: findings is None)

    _window = field_validator("window")(checked_window)

    @model_validator(mode="after")
    def _whole(self) -> Catalog:
        if self.prompt_file is not None:
            for key in ("classes", "modality", "renditions"):
                if getattr(self, key):
                    raise KeyedError(
                        key, "a family of datasets takes its classes and modalities from its prompt_file"
                    )
            return self
        if self.modality is None:
            raise KeyedError("modality", "missing; one of CT, MR, PET, US, Microscopy")
        only_findings = self.findings is not None and self.findings.mask is not None
        if not self.layout.labels and (not only_findings or self.classes):
            raise KeyedError(("layout", "labels"), "missing; the path of a case's labels")
        if not self.classes and (not only_findings or self.layout.labels):
            raise KeyedError("classes", "missing; give at least one class with id and name")
        self._check_classes()
        self._check_files()
        if self.findings is not None and self.findings.mask is not None and self.any_id:
            raise KeyedError(
                ("findings", "mask"),
                "masks of findings need ids that no label has, and here any may come: give the findings' ids instead, "
                "or name the ids to ignore",
            )
        self._check_renditions()
        classes = tuple(self._with_prompts(spec) for spec in self.classes)
        self.__dict__["classes"] = classes  # filling in a default; the model is frozen for everyone else
        return self

    def _with_prompts(self, spec: ClassSpec) -> ClassSpec:
        if spec.prompts:
            return spec
        site = self.site if spec.site is None else spec.site
        return spec.model_copy(
            update={"prompts": default_prompts(spec.name, str(self.modality), site, self.technique)}
        )

    def _check_classes(self) -> None:
        seen: dict[int, str] = {}
        names: set[str] = set()
        for at, spec in enumerate(self.classes):
            if spec.id in seen:
                raise KeyedError(("classes", at, "id"), f"id {spec.id} is {seen[spec.id]!r} already")
            if spec.name in names:
                raise KeyedError(("classes", at, "name"), f"the name {spec.name!r} comes twice")
            seen[spec.id] = spec.name
            names.add(spec.name)
        labels = {label for spec in self.classes for label in spec.ids}
        for at, spec in enumerate(self.classes):
            if spec.is_union and spec.id in labels:
                raise KeyedError(
                    ("classes", at, "id"),
                    f"{spec.name!r} is a union of {list(spec.ids)}, so its id {spec.id} must be no label id",
                )
        if self.instance and len(self.classes) > 1:
            raise KeyedError(
                "classes", "an instance dataset has exactly one class: the mask's ids are its instances"
            )

    def _check_files(self) -> None:
        one_a_class = "class" in self.layout.label_parts
        layered = [spec.layer is not None for spec in self.classes if not spec.is_union]
        if any(layered) and not all(layered):
            raise KeyedError(
                ("classes", layered.index(False)),
                "other classes have a layer of the label file; name this one's",
            )
        for at, spec in enumerate(self.classes):
            if one_a_class and spec.file is None and not spec.is_union:
                raise KeyedError(
                    ("classes", at),
                    f'{spec.name!r} needs file = "...", since labels has one file a class ({{class}})',
                )
            if not one_a_class and spec.file is not None:
                raise KeyedError(
                    ("classes", at, "file"),
                    f"labels = {self.layout.labels!r} has no {{class}} for the file to stand in",
                )

        held: dict[tuple[str | None, int | None], set[int | None]] = {}
        for at, spec in enumerate(self.classes):
            if spec.file is None and spec.layer is None:
                continue
            values = held.setdefault((spec.file, spec.layer), set())
            if spec.value in values or (values and None in {spec.value, *values}):
                place = repr(spec.file) if spec.layer is None else f"layer {spec.layer}"
                raise KeyedError(
                    ("classes", at), f"another class is in {place} too; give each its own value = ..."
                )
            values.add(spec.value)
        if self.layout.overlaps and self.instance:
            raise KeyedError(("layout", "overlaps"), "instances of one label map cannot overlap")

    def _check_renditions(self) -> None:
        ids = {spec.id for spec in self.classes}
        names: set[str] = set()
        for at, rendition in enumerate(self.renditions):
            if rendition.name in names:
                raise KeyedError(("renditions", at, "name"), f"the name {rendition.name!r} comes twice")
            names.add(rendition.name)
            for class_id in rendition.classes or ():
                if class_id not in ids:
                    raise KeyedError(("renditions", at, "classes"), f"no class has the id {class_id}")
            if rendition.image is not None:
                self.layout.check_parts(rendition.image, ("renditions", at, "image"))
        if (
            self.split is not None
            and self.split.part is not None
            and self.split.part not in self.layout.parts
        ):
            raise KeyedError(("split", "part"), f"images has no part {{{self.split.part}}}")
        if self.frames is not None and any(spec.channel is not None for spec in self.renditions):
            raise KeyedError(
                "frames", "frames choose the channel; renditions with a channel cannot be had besides"
            )
        if self.renditions and self.window is not None:
            raise KeyedError("window", "give each rendition its window, or the dataset one, not both")

    @property
    def is_family(self) -> bool:
        """Whether this stands for several datasets: see ``expand``."""
        return self.prompt_file is not None

    @property
    def instance(self) -> bool:
        """Whether the masks hold instances (1..n) rather than label ids."""
        return any(spec.instance for spec in self.classes)

    @cached_property
    def declared_ids(self) -> frozenset[int]:
        """The label ids that may occur in the data: the classes' and the ignored ones. Instances: none."""
        return frozenset(label for spec in self.classes for label in spec.ids) | ids_of(self.ignore)

    @property
    def any_id(self) -> bool:
        """Whether label ids that nothing declares are no mistake: instances, or ``ignore`` takes the rest."""
        return self.instance or takes_rest(self.ignore)

    @property
    def overlaps(self) -> bool:
        """Whether a voxel may have several labels: as the layout says, or because its files may hold such labels."""
        if self.findings is not None and self.findings.mask is not None:
            return True
        if self.layout.overlaps is not None:
            return self.layout.overlaps
        if self.instance:
            return False
        parts = {(spec.file, spec.layer) for spec in self.classes if spec.file or spec.layer is not None}
        objects = self.layout.labels_of is not None or self.layout.labels.lower().endswith(".dcm")
        return len(parts) > 1 or objects

    @property
    def first_combination(self) -> int:
        """The first value that no declared label has: combinations of overlapping ones are numbered from it on."""
        return max(self.declared_ids, default=0) + 1

    @property
    def mask_dtype(self) -> Literal["uint8", "uint16"]:
        """The dtype of the stored masks: from what is declared, never from the data.

        Combinations of overlapping labels take ids after the declared ones, as many as there are.
        """
        wide = self.any_id or self.overlaps or max(self.declared_ids, default=0) > 255
        return "uint16" if wide else "uint8"

    @property
    def structures(self) -> tuple[Structure, ...] | None:
        """The classes by what they are called in an RTSTRUCT or SEG; None where ids or files say which is which."""
        own = [spec for spec in self.classes if not spec.is_union and not spec.instance]
        if self.layout.labels_of != "RTSTRUCT" and not any(spec.named_structures for spec in own):
            return None
        return tuple(
            Structure(
                spec.id,
                spec.structures if spec.named_structures else (spec.name,),
                spec.structures_like,
                self.layout.sparse,
            )
            for spec in own
        )

    def subject_id(self, case: str, subject: str) -> str:  # noqa: ARG002 (a family's datasets look at the case)
        """A subject's name across datasets: within ``subjects``, which catalogs may share, or the catalog."""
        return f"{self.subjects or self.name}/{subject}"

    def find_images(self, root: Path) -> list[tuple[str, dict[str, str]]]:
        """Every image under ``root`` that the glob matches, as (path relative to root, parts)."""
        where = self.layout.where
        return [
            (path, parts)
            for path, parts in parse_pattern(self.layout.images).find(root)
            if all(low <= int(parts[part]) <= high for part, (low, high) in where.items())
            and (self.layout.images_of is None or has_modality(root / path, self.layout.images_of))
        ]
