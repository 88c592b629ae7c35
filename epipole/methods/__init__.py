"""Untrained baselines: callables Views -> Prediction, so that every learned system is judged beside what it claims to
beat."""
