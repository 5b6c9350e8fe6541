"""Collections of sets: how they are made, read, split and drawn from."""
