"""What a user can set: types, ranges, what makes a cell, and Hydra's errors in one line."""
