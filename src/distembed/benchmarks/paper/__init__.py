"""The tables and figures of the GDE paper (arXiv 2505.18150), by its protocols and by honest ones.

One file a table: the published settings are in `published`, and the training of equal seconds in
`timed`. What other benches measure already is not repeated here.
"""
