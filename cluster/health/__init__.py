"""What tells that an actor is lost: deadlines, heartbeats, and the monitor that replaces actors."""
