"""Entry points of a checkout; those of the package are in `uss_ray.jobs`."""
