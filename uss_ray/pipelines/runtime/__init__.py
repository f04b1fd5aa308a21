"""The parts of the pipelines that run on Ray."""
