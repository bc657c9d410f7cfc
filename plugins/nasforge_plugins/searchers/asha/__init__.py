"""ASHA: successive halving that waits for no rung to be complete."""
