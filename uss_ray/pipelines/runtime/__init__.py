"""What all jobs share: the run of a job, its pool, stages, identity and progress; Ray where it takes one."""
