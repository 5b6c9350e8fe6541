"""The model: a network, its training, and what is stored and used afterwards."""
