"""Training: a recipe, data, and the loop that makes a checkpoint of them. See docs/training.md."""
