"""Ray at the edge: a local cluster, and the jobs that run on one."""
