"""The networks: the policy, its critic, and action-value heads."""
