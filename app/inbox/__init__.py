"""What the inbox page shows, without Flask."""
