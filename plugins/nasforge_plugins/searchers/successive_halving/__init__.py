"""Successive halving over the evaluator's budget."""
