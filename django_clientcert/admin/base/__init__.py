"""What several admin screens share."""
