#!/bin/sh
# The challenge's interface: npz volumes with their text_prompts in inputs/, label maps to outputs/ as npz `segs`.
# Whatever follows is handed on to `fve predict`.
set -eu
exec "${PYTHON:-python}" -m fve_pipeline predict "${FVE_INPUTS:-inputs}" \
    --allow-pickle --weights "${FVE_WEIGHTS:-weights.ckpt}" --out "${FVE_OUTPUTS:-outputs}" "$@"
