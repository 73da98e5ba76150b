"""What several tests share: servers that misbehave, stores that can die, values with sensible defaults, forged objects."""
