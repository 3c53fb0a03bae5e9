"""What this machine has and whether everything works on it: the facts, and a self-test of seconds."""

from __future__ import annotations

from fve_pipeline.doctor.check import Check
from fve_pipeline.doctor.compiled import kernel_checks
from fve_pipeline.doctor.machine import machine_checks
from fve_pipeline.doctor.packages import package_checks
from fve_pipeline.doctor.selftest import self_test

__all__ = ["Check", "kernel_checks", "machine_checks", "package_checks", "self_test"]
