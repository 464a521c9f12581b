"""Fields of configurations and options of tasks: their texts, and values from texts."""
