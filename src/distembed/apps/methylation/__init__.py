"""Methylation of reads: cancer and tissue of held-out donors, and the tumour share of mixtures."""
