"""Made-up images that can be learned."""
