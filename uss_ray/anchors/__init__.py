"""Mined anchors as training data: what one holds, and how they are stored and read."""
