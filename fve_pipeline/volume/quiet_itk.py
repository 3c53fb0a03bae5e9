"""SimpleITK, silent. Imported where it is used: it weighs 100 MB, and most runs read NIfTI alone."""

from __future__ import annotations

import SimpleITK as sitk

__all__ = ["sitk"]

# ITK's warnings, which go to stderr, can quote the header.
sitk.ProcessObject.SetGlobalWarningDisplay(False)
