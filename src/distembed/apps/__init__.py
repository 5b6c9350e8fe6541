"""Applications. Each is a package of four files: data, model, judge and figure."""
