"""What happens to every request, whichever route it is for."""
