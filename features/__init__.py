"""From market events to the 25 served features: ``schema`` says what they are, ``kernel`` computes them."""
