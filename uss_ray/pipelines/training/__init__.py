"""Training jobs: packs of anchors, and runs on one process or many workers."""
