"""DARTS whose architecture is chosen by perturbation."""
