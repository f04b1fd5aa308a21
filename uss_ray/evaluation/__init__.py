"""Evaluation: benchmarks and their lists, runs over them, metrics, results, comparisons, reports, calibration."""
