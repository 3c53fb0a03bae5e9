"""FVE kernels: reference (numpy), cpu (numba), cuda (numba-cuda). Imports numpy and numba only."""
