// Will be filled.
