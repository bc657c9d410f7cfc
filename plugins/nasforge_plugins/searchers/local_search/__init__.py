"""Local search: hill climbing with restarts."""
