"""Entry points for `ray job submit`: the commands that run on a cluster, as modules that a wheel brings along."""
