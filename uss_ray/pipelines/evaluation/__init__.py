"""The evaluation job: a list is scored chunk by chunk, in this process or by workers, to the same bytes."""
