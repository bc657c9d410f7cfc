"""BANANAS: Bayesian optimisation with an ensemble of predictors."""
