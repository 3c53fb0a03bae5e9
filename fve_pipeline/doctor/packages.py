"""Versions of what is installed beside the oldest allowed, and what is missing without harm."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import Requirement

from fve_pipeline import __version__
from fve_pipeline.doctor.check import Check
from fve_pipeline.runtime.extras import OPTIONAL

__all__ = ["package_checks"]


def package_checks() -> list[Check]:
    """Python, this package, what it needs and from which version on, and the optional packages with their use."""
    found = [
        Check("versions", "fve_pipeline", __version__),
        Check("versions", "Python", f"{platform.python_version()} ({platform.python_implementation()})"),
    ]
    needed, extras = _requirements()
    found += [_needed(one) for one in needed]
    for one in OPTIONAL:
        version = _version(one.package)
        if version is None:
            advice = f"for {one.purpose}: pip install 'fve-pipeline[{one.extra}]'"
            found.append(Check("optional", one.package, "missing", "note", advice))
        elif one.package in extras and not extras[one.package].specifier.contains(version, prereleases=True):
            found.append(_too_old("optional", version, extras[one.package]))
        elif one.package == "torch":
            found.append(_torch(version, one.purpose))
        else:
            found.append(Check("optional", one.package, f"{version}: {one.purpose}"))
    return found


def _requirements() -> tuple[list[Requirement], dict[str, Requirement]]:
    """Return what the installed package asks for: always, and by its extras."""
    needed, extras = [], {}
    for text in metadata.requires("fve-pipeline") or ():
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            needed.append(one)
        elif "extra" in str(one.marker):
            extras[one.name] = one
    return needed, extras


def _needed(one: Requirement) -> Check:
    version = _version(one.name)
    if version is None:
        return Check("versions", one.name, "missing", "problem", f"pip install '{one.name}{one.specifier}'")
    if not one.specifier.contains(version, prereleases=True):
        return _too_old("versions", version, one)
    return Check("versions", one.name, version)


def _too_old(section: str, version: str, one: Requirement) -> Check:
    advice = f"pip install '{one.name}{one.specifier}'"
    return Check(section, one.name, f"{version}, expected {one.specifier}", "problem", advice)


def _torch(version: str, purpose: str) -> Check:
    """Return whether torch can be imported and computes: a folder of metadata alone has a version too."""
    try:
        import torch

        right = float((torch.ones(3, 3) @ torch.ones(3, 3)).sum()) == 27
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    except Exception as error:  # a half-installed torch fails in any way
        advice = "reinstall it: pip install --force-reinstall torch"
        return Check("optional", "torch", f"{version}: {type(error).__name__}: {error}", "problem", advice)
    if not right:
        return Check("optional", "torch", f"{version}: computes wrongly", "problem", "reinstall torch")
    return Check("optional", "torch", f"{version}, {gpu}: {purpose}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
