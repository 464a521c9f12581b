"""Commands about tasks and algorithms: describe, check and begin one."""
