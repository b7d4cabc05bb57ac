"""Uses of a model: predict, evaluate, compare, certify."""
