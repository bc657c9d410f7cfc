"""An evaluator for nasforge."""
