"""What a run needs of its machine: Dask, faults, progress, devices, units."""
