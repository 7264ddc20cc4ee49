"""A user model as projects have them: UUID primary key, multi-table inheritance."""
