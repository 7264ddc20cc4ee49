"""Changes to and questions about the tables: issuers, revocation, renewal, transfer."""
