"""A recording becomes one estimate for each target: what to separate, when, under which condition, and the joins."""
