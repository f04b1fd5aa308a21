"""What the command line, the jobs and a service call to separate recordings."""
