"""Sound: weighting and level arithmetic in integers."""
