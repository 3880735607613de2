"""Every taught language from one place: an OpenAI-shaped HTTP API on Ray Serve."""
