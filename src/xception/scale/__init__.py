"""One task on many machines, through a cluster manager such as Ray."""
