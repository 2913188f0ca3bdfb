"""One blueprint for each resource of the API. A view reads, calls, answers, and nothing else."""
