"""A plan of training runs: variants by name, a grid of settings, seeds. Pure: what it names is not looked for."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fve_pipeline.errors import TrainError
from fve_pipeline.training.config import TrainConfig, first_problem

__all__ = ["Plan", "Trial", "load_plan", "toml_of", "trials_of"]

Settings = dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variant(_Model):
    """Settings under a name; keys are dotted, such as ``model.change.stop_gradient``.

    ``stores`` and ``val`` stand for the plan's own, ``coreset`` is a selection to train on; ``{seed}`` in it is the run's.
    """

    name: str
    set: Settings = {}
    stores: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    coreset: str | None = None


class Plan(_Model):
    """``stores`` to train on, ``val`` to validate on (none: the same), ``base`` settings, and what differs.

    Each variant (none: the base itself) is run with every combination of the ``grid``'s values and with every seed.
    """

    stores: Annotated[tuple[str, ...], Field(min_length=1)]
    val: tuple[str, ...] = ()
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    base: Settings = {}
    variants: tuple[Variant, ...] = ()
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}


@dataclass(frozen=True)
class Trial:
    """A run's variant, seed and whole configuration, as tables of TOML; where they are its own, the data as well."""

    variant: str
    seed: int
    settings: Settings
    stores: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    coreset: str | None = None

    @property
    def folder(self) -> str:
        """Where it lies below the ablation's folder."""
        safe = "".join(c if c.isalnum() or c in "-_.=+" else "_" for c in self.variant)
        return f"{safe}/seed-{self.seed}"


def load_plan(path: Path) -> Plan:
    """Read a plan; relative paths of stores, coresets and ``[base]``'s weights are below the plan's own folder.

    Raises
    ------
    TrainError
        If the file is not there, not TOML, or says what no plan says; or a run's settings are none of ``fve train``.
    """
    try:
        plan = Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); expected a TOML file with stores, seeds, [[variants]] or [grid]"
        raise TrainError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not TOML: {error}"
        raise TrainError(msg) from error
    except ValidationError as error:
        raise TrainError(f"{path}: {first_problem(error)}; docs/how-to/ablate.md shows a plan") from error
    variants = tuple(one.model_copy(update=_placed(path, one)) for one in plan.variants)
    plan = plan.model_copy(update={**_placed(path, plan), "variants": variants})
    for run in trials_of(plan):
        try:
            TrainConfig.of(run.settings).model.config()
        except (ValidationError, TrainError) as error:
            what = first_problem(error) if isinstance(error, ValidationError) else error
            msg = f"{path}: {run.variant}: {what}; docs/training.md lists every key"
            raise TrainError(msg) from error
    return plan


def trials_of(plan: Plan) -> list[Trial]:
    """Return all runs, variants in order, each with all of its seeds.

    Raises
    ------
    TrainError
        If two variants would lie in one folder.
    """
    runs = list(_runs(plan))
    if twice := {run.folder for run in runs if sum(other.folder == run.folder for other in runs) > 1}:
        msg = f"two runs of the plan are both named {min(twice)}; give variants names of their own, and each seed once"
        raise TrainError(msg)
    return runs


def toml_of(settings: Mapping[str, Any]) -> str:
    """Return settings as a TOML file: a line a value, under its dotted key.

    >>> print(toml_of({"run": {"seed": 1}, "data": {"augment": "none"}}), end="")
    run.seed = 1
    data.augment = "none"
    """
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in _flat(settings, ""))


def _runs(plan: Plan) -> Iterator[Trial]:
    for variant in plan.variants or (Variant(name=""),):
        for values in product(*plan.grid.values()):
            chosen = dict(zip(plan.grid, values, strict=True))
            words = [variant.name, *(f"{key.rpartition('.')[2]}={value}" for key, value in chosen.items())]
            name = " ".join(word for word in words if word) or "base"
            for seed in plan.seeds:
                settings = json.loads(json.dumps(plan.base))
                for key, value in {**variant.set, **chosen, "run.seed": seed}.items():
                    _put(settings, key, value)
                coreset = variant.coreset and variant.coreset.replace("{seed}", str(seed))
                yield Trial(name, seed, settings, variant.stores, variant.val, coreset)


def _put(settings: Settings, key: str, value: Any) -> None:
    *above, last = key.split(".")
    for part in above:
        settings = settings.setdefault(part, {})
    settings[last] = value


def _flat(settings: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{json.dumps(key) if not _bare(key) else key}.")
        else:
            yield f"{before}{key}", value


def _bare(key: str) -> bool:
    return key.replace("_", "").replace("-", "").isalnum()


def _placed(plan: Path, what: Plan | Variant) -> dict[str, Any]:
    """Return its places below the plan's folder."""
    found: dict[str, Any] = {
        name: tuple(_below(plan, place) for place in getattr(what, name)) for name in ("stores", "val")
    }
    if isinstance(what, Variant):
        return {**found, "coreset": what.coreset and _below(plan, what.coreset)}
    model = {
        key: _below(plan, value) if key in ("init", "backbone") and isinstance(value, str) else value
        for key, value in what.base.get("model", {}).items()
    }
    return {**found, "base": {**what.base, **({"model": model} if model else {})}}


def _below(plan: Path, place: str) -> str:
    return place if "://" in place or Path(place).is_absolute() else str(plan.parent / place)
