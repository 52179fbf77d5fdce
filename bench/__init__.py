"""`./run bench`: what this machine does with Rapport, each figure beside its bare floor, measured in the same run."""
