"""The samplers of Optuna as searchers."""
