"""The embedded models: shipped weights and the scripts that build them."""
