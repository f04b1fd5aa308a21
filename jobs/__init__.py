"""Entry points for `ray job submit`: parse the arguments, call one pipeline, return its exit code."""
