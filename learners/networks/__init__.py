"""The networks: the policy, its critic, and heads of action values."""
