"""A space made from a network that exists: drop its blocks, narrow them, exchange their parts."""
