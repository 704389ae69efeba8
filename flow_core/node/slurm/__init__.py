"""Slurm's commands on a node that has no Slurm: what a batch script calls while it runs."""
