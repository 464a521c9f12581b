"""`lmrl train`: the command, the list of presets, the list of fields, and the plan of a run."""
