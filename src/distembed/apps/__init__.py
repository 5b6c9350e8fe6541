"""Applications: data, model, judge and figure of each."""
