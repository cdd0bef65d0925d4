"""How a model is read: its cache, the ways to read drafted trees with it, and the test of which way is right."""
