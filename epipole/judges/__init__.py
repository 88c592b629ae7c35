"""How predictions are scored: one file per type of prediction."""
