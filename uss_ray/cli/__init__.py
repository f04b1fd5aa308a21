"""The command line: reads arguments, calls a pipeline, shows a table, returns an exit code. No algorithms."""
