"""Who may call the service: tokens with scopes, limits of their rates, and a log of what they were used for."""
