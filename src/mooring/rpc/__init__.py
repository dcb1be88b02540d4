"""What controllers and nodes say to each other, and the message bus that carries it."""
