"""Viral proteins by place and time: date and place of a set, and sequences drawn for it."""
