"""Batch scripts for Slurm, read as sbatch reads them, and what Flow makes of them."""
