"""Distribution functions of weighted sums of chi-square variables."""
