"""The mining job: clips with weak labels stream through a detector; anchors and rejects come out."""
