"""Published models of sequences: their files, their vocabularies, and plain torch modules.

Nothing that is read can run code: weights are safetensors, or tensors that torch reads with
`weights_only=True`, and the modules are those of this package or of `transformers`.
"""
